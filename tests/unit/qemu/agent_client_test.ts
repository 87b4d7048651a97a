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

Deno.test("agent: the next command is on its way before an answer is read, and a second answer is nobody's", () => {
  const rig = new Rig();
  const sentBefore: number[] = [];
  const told: AgentReply[] = [];
  const ask = (name: string) => {
    const handler = (reply: AgentReply) => {
      sentBefore.push(rig.sent.length);
      told.push(reply);
    };
    rig.client.execute({ name, args: { name }, limitNs: 100, handler }, 0);
  };
  for (const name of ["a", "b", "c", "d"]) ask(name);
  rig.sync();
  const line = (name: string) => `{"execute":"${name}","arguments":{"name":"${name}"}}`;
  assertEquals(rig.sent.slice(1), [line("a")]);
  rig.say('{"return": 1}');
  assertEquals([sentBefore, rig.sent.at(-1)], [[3], line("b")]);
  // Two at once: the first answers "b"; before "c" is sent, nothing can answer it.
  rig.say('{"return": 2}\n{"return": 22}');
  assertEquals([told.length, rig.sent.at(-1)], [2, line("c")]);
  // Half of one is nobody's yet.
  rig.client.receive(encoder.encode('{"return": '), 0);
  assertEquals([told.length, rig.sent.at(-1)], [2, line("c")]);
  rig.say("3}");
  rig.say('{"return": 4}');
  assertEquals(told, [1, 2, 3, 4].map((value) => ({ outcome: "done", value })));
  assertEquals([rig.client.isIdle, rig.client.deadlineNs], [true, NEVER]);
});

Deno.test("agent: an answer is told, however the channel ends when the next command is sent", () => {
  const told: string[] = [];
  let isFull = false;
  const client: AgentClient = new AgentClient(() => {
    if (isFull) client.close();
  });
  const handler = (name: string) => ({ outcome }: AgentReply) => void told.push(`${name}: ${outcome}`);
  let sync = "";
  const random = Math.random;
  Math.random = () => 0;
  try {
    client.execute({ name: "a", limitNs: 100, handler: handler("a") }, 0);
    sync = '{"return": 1}\n';
  } finally {
    Math.random = random;
  }
  client.execute({ name: "b", limitNs: 100, handler: handler("b") }, 0);
  client.receive(Uint8Array.from([0xff, ...encoder.encode(sync)]), 0);
  isFull = true;
  client.receive(encoder.encode('{"return": {}}\n'), 0);
  assertEquals(told.toSorted(), ["a: done", "b: closed"]);
});
