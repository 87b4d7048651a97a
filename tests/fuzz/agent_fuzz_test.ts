/**
 * What a guest's agent says, torn into pieces and out of step; and what it answers to each operation.
 */
import { assert } from "@std/assert";
import { readAgentAnswer, readProgramResult } from "../../src/adapters/agent/agent_request.ts";
import { AGENT_OP } from "../../src/event/agent_op.ts";
import { AgentClient, type AgentReply } from "../../src/qemu/agent/agent_client.ts";
import { type Bytes, fuzz } from "./harness.ts";

const decoder = new TextDecoder();

fuzz({
  name: "a guest agent's lines",
  corpus: () => [
    'DELIM{"return": SYNC}\n{"return": {}}\n{"return": {"pid": 7}}\n{"error": {"class": "GenericError", "desc": "no"}}\n',
    '{"return": 1}\n{"return": "junk"}\nDELIM{"return": SYNC}\n{"return": []}\n',
  ],
  largest: 8192,
  words: ["SYNC", "\n", "DELIM", '{"return": ', '{"error": {"desc": "', "null", "[[[[", "}"],
  decode: (input, random) => {
    let sync = "";
    const client = new AgentClient((bytes: Bytes) => {
      sync = /"id":(\d+)/.exec(decoder.decode(bytes))?.[1] ?? sync;
    });
    const replies: AgentReply[] = [];
    for (let i = 0; i < 3; i++) {
      client.execute({ name: "guest-ping", limitNs: 1000, handler: (reply) => replies.push(reply) }, 0);
    }
    // The number is the client's own: the agent says it back.
    const text = [...input].map((byte) => String.fromCharCode(byte)).join("").replaceAll("SYNC", sync)
      .replaceAll("DELIM", "\xff");
    const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0) & 0xff);
    for (let at = 0; at < bytes.length;) {
      const piece = 1 + random.below(64);
      client.receive(bytes.subarray(at, at + piece), 0);
      at += piece;
    }
    client.close();
    assert(replies.length === 3, "each command is answered once");
    const outcomes = new Set(replies.map(({ outcome }) => outcome));
    return outcomes.has("done") ? "done" : outcomes.has("error") ? "error" : "closed";
  },
  mustMeet: ["done", "error", "closed"],
});

fuzz({
  name: "a guest agent's answers",
  corpus: () => [
    '{"pid": 7}',
    '{"exited": true, "exitcode": 0, "out-data": "aGVsbG8=", "out-truncated": true}',
    '{"count": 5, "buf-b64": "aGVsbG8=", "eof": false}',
    '[{"name": "lo", "ip-addresses": [{"ip-address": "127.0.0.1", "prefix": 8}]}]',
    "1000",
  ],
  largest: 8192,
  words: ['"pid"', '"buf-b64"', "[", "{", "null", "1e400", "true"],
  decode: (input) => {
    let value: unknown;
    try {
      value = JSON.parse(decoder.decode(input));
    } catch (error) {
      if (error instanceof SyntaxError) return "not JSON";
      throw error;
    }
    let known = 0;
    for (const op of Object.values(AGENT_OP)) if (readAgentAnswer(op, value) !== undefined) known++;
    const result = readProgramResult(value);
    assert(
      result === undefined || (Number.isSafeInteger(result.code) && Number.isSafeInteger(result.signal)),
    );
    return known === 0 ? "nothing" : "something";
  },
  mustMeet: ["something", "not JSON"],
});
