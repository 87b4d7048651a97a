/**
 * The conversation with a guest's agent: into step, in order, late, restarted, withdrawn.
 * @module
 */
import { assertEquals } from "@std/assert";
import { NEVER } from "../../../src/base/clock.ts";
import { AgentClient, type AgentReply, SYNC_NS } from "../../../src/qemu/agent/agent_client.ts";
import { MAX_AGENT_LINE_BYTES } from "../../../src/qemu/agent/agent_lines.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A client with a scripted agent. */
class Rig {
  readonly sent: string[] = [];
  readonly replies: (AgentReply & { name: string })[] = [];
  readonly client = new AgentClient((bytes) => {
    this.sent.push(decoder.decode(bytes[0] === 0xff ? bytes.subarray(1) : bytes).trim());
    this.delimited = bytes[0] === 0xff;
  });
  delimited = false;

  ask(name: string, more: { mayBeSent?: () => boolean } = {}, nowNs = 0): void {
    const handler = (reply: AgentReply) => void this.replies.push({ ...reply, name });
    this.client.execute({ name, limitNs: 100, handler, ...more }, nowNs);
  }

  say(text: string, delimiter = false, nowNs = 0): void {
    const bytes = encoder.encode(`${text}\n`);
    this.client.receive(delimiter ? Uint8Array.from([0xff, ...bytes]) : bytes, nowNs);
  }

  /** Says the number of the last sync back. */
  sync(nowNs = 0): void {
    const id = /"id":(\d+)/.exec(this.sent.at(-1) ?? "")?.[1];
    this.say(`{"return": ${id}}`, true, nowNs);
  }

  get told(): string[] {
    return this.replies.map(({ name, outcome }) => `${name}: ${outcome}`);
  }
}

Deno.test("agent: comes into step first, and throws away what is not its own", () => {
  const rig = new Rig();
  rig.ask("a");
  rig.ask("b");
  assertEquals([rig.sent.length, rig.delimited], [1, true]);
  rig.say('{"return": {"of": "somebody else"}}');
  rig.say('{"return": 1}', true);
  rig.say("garbage");
  assertEquals(rig.sent.length, 1);
  rig.sync();
  assertEquals(rig.sent.at(-1), '{"execute":"a"}');
  rig.say('{"return": {}}');
  rig.say('{"error": {"desc": "no"}}');
  assertEquals(rig.told, ["a: done", "b: error"]);
  assertEquals([rig.client.isIdle, rig.client.deadlineNs], [true, NEVER]);
});

Deno.test("agent: a late answer is nobody's: the next command comes into step anew", () => {
  const rig = new Rig();
  rig.ask("slow");
  rig.sync();
  rig.ask("next");
  rig.client.tick(100);
  assertEquals(rig.told, ["slow: timed-out"]);
  assertEquals(rig.delimited, true);
  rig.say('{"return": "of the slow one"}');
  rig.sync(100);
  rig.say('{"return": "mine"}', false, 100);
  assertEquals(rig.replies.at(-1), { name: "next", outcome: "done", value: "mine" } as never);
});

Deno.test("agent: silence is told to all that wait", () => {
  const rig = new Rig();
  rig.ask("a");
  rig.ask("b");
  rig.client.tick(SYNC_NS);
  assertEquals(rig.told, ["a: unsent", "b: unsent"]);
  rig.ask("c", {}, SYNC_NS);
  rig.sync(SYNC_NS);
  rig.say('{"return": {}}', false, SYNC_NS);
  assertEquals(rig.told.at(-1), "c: done");
});

Deno.test("agent: what may not be sent any more is not; what is under way is told closed", () => {
  const rig = new Rig();
  let may = true;
  rig.ask("a");
  rig.ask("b", { mayBeSent: () => may });
  rig.sync();
  may = false;
  rig.say('{"return": {}}');
  assertEquals(rig.told, ["a: done", "b: unsent"]);
  rig.ask("c");
  rig.client.close();
  rig.ask("d");
  assertEquals(rig.told.slice(2), ["c: closed", "d: closed"]);
});

Deno.test("agent: an answer without end is passed over, and the next one counts", () => {
  const rig = new Rig();
  rig.ask("long");
  rig.sync();
  rig.client.receive(new Uint8Array(MAX_AGENT_LINE_BYTES + 1).fill(0x20), 0);
  rig.ask("next");
  rig.say("");
  rig.say('{"return": {}}');
  assertEquals(rig.told, ["long: too-long", "next: done"]);
});
