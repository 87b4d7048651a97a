import { assert, assertEquals, assertMatch } from "@std/assert";
import { MAX_QMP_INFLIGHT, MAX_QMP_QUEUE } from "../../../../src/base/limits.ts";
import { QmpClient, type QmpReply } from "../../../../src/qemu/protocol/qmp_client.ts";
import { SeededRandom } from "../../../fixtures/seeded_random.ts";

const encoder = new TextEncoder();
const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}\r\n';

interface Sent {
  readonly execute: string;
  readonly id?: number;
  readonly arguments?: unknown;
}

class Peer {
  readonly sent: Sent[] = [];
  readonly handed: number[] = [];
  readonly events: string[] = [];
  readonly errors: string[] = [];
  ready = 0;
  version = "";
  readonly client: QmpClient = new QmpClient({
    sendCommand: (bytes, length, descriptors) => {
      this.handed.push(...descriptors?.fds ?? []);
      this.sent.push(JSON.parse(new TextDecoder().decode(bytes.subarray(0, length))));
    },
  }, {
    onGreeting: (version) => this.version = version,
    onReady: () => this.ready++,
    onEvent: (event) => this.events.push(event.name),
    onProtocolError: (why) => this.errors.push(why),
  });

  say(text: string): void {
    const bytes = encoder.encode(text);
    this.client.receive(bytes, bytes.length);
  }

  reply(index: number, value: unknown = {}): void {
    this.say(JSON.stringify({ return: value, id: this.sent[index]?.id }) + "\r\n");
  }

  fail(index: number, desc: string): void {
    this.say(JSON.stringify({ id: this.sent[index]?.id, error: { class: "GenericError", desc } }) + "\r\n");
  }

  static ready(): Peer {
    const peer = new Peer();
    peer.say(GREETING);
    peer.reply(0);
    assertEquals([peer.ready, peer.client.state, peer.version], [1, "ready", "7.2.22"]);
    peer.sent.length = 0;
    return peer;
  }
}

Deno.test("nothing is sent before the greeting, then qmp_capabilities, then it is ready", () => {
  const peer = new Peer();
  const replies: QmpReply[] = [];
  peer.client.execute("stop", undefined, (reply) => replies.push(reply));
  assertEquals([peer.sent.length, replies], [0, [{ outcome: "unsent" }]]);
  peer.say(GREETING.slice(0, 50));
  assertEquals(peer.client.state, "greeting");
  peer.say(GREETING.slice(50));
  assertEquals(peer.sent.map((command) => command.execute), ["qmp_capabilities"]);
  assertEquals(peer.client.state, "negotiating");
  peer.say('{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"}\n');
  peer.reply(0);
  assertEquals([peer.ready, peer.events], [1, ["RESUME"]]);
});

Deno.test("replies find their commands by id, also out of order; errors carry QEMU's words", () => {
  const peer = Peer.ready();
  const replies: [number, QmpReply][] = [];
  const note = (reply: QmpReply, tag: number) => replies.push([tag, reply]);
  peer.client.execute("query-status", undefined, note, { tag: 1 });
  peer.client.execute("screendump", { filename: 'a"\n\u{1F600}' }, note, { tag: 2 });
  assertEquals(peer.sent[1]?.arguments, { filename: 'a"\n\u{1F600}' });
  peer.fail(1, "no");
  peer.reply(0, { status: "running" });
  assertEquals(replies, [
    [2, { outcome: "error", errorClass: "GenericError", errorText: "no" }],
    [1, { outcome: "done", value: { status: "running" } }],
  ]);
});

Deno.test("the first in flight has no id, the others do; they are answered in any order", () => {
  for (const order of [[0, 1, 2], [2, 1, 0], [1, 0, 2]]) {
    const peer = Peer.ready();
    const done: number[] = [];
    for (let i = 0; i < 3; i++) peer.client.execute("a", undefined, (_, tag) => done.push(tag), { tag: i });
    assertEquals(peer.sent.map((command) => command.id), [undefined, 1, 2]);
    for (const index of order) peer.reply(index);
    assertEquals([done, peer.errors], [order, []]);
  }
});

Deno.test("only one without id is unanswered at a time, also one whose time is over", () => {
  const peer = Peer.ready();
  const replies: [number, string][] = [];
  const note = (reply: QmpReply, tag: number) => replies.push([tag, reply.outcome]);
  peer.client.execute("a", undefined, note, { deadlineNs: 100 });
  peer.client.execute("a", undefined, note, { tag: 1 });
  peer.reply(1);
  peer.client.tick(100);
  peer.client.execute("a", undefined, note, { tag: 2 });
  assertEquals(peer.sent.map((command) => command.id), [undefined, 1, 1]);
  // The late reply is that of the first, and not told a second time; then the place is free again.
  peer.reply(0);
  peer.client.execute("a", undefined, note, { tag: 3 });
  assertEquals(peer.sent[3]?.id, undefined);
  peer.fail(3, "no");
  peer.reply(2);
  assertEquals(replies, [[1, "done"], [0, "timed-out"], [3, "error"], [2, "done"]]);
  assertEquals([peer.client.inFlight, peer.errors], [0, []]);
});

Deno.test("a reply or an error without id is that of the command without, and a protocol error when there is none", () => {
  for (
    const answer of ['{"return": {}}\n', '{"error": {"class": "GenericError", "desc": "JSON parse error"}}\n']
  ) {
    const peer = Peer.ready();
    const outcomes: string[] = [];
    const note = (reply: QmpReply) => outcomes.push(reply.outcome);
    peer.client.execute("a", undefined, note);
    peer.client.execute("a", undefined, note);
    peer.say(answer);
    assertEquals(outcomes, [answer.includes("error") ? "error" : "done"]);
    assertEquals([peer.client.state, peer.client.inFlight], ["ready", 1]);
    peer.say(answer);
    assertMatch(peer.errors.join("|"), /not sent/);
    assertEquals([outcomes[1], peer.client.state], ["closed", "closed"]);
  }
});

Deno.test("at most eight are in flight, the others wait in order and keep their order", () => {
  const peer = Peer.ready();
  const done: number[] = [];
  for (let i = 0; i < 20; i++) peer.client.execute("a", undefined, (_, tag) => done.push(tag), { tag: i });
  assertEquals([peer.sent.length, peer.client.queued], [MAX_QMP_INFLIGHT, 12]);
  for (let i = 0; i < 20; i++) {
    peer.reply(i);
    assert(peer.client.inFlight <= MAX_QMP_INFLIGHT);
  }
  assertEquals(done, Array.from({ length: 20 }, (_, i) => i));
});

Deno.test("a command whose time is over is answered once, and keeps its place until its late reply", () => {
  const peer = Peer.ready();
  const outcomes: string[] = [];
  const note = (reply: QmpReply) => outcomes.push(reply.outcome);
  for (let i = 0; i < MAX_QMP_INFLIGHT + 2; i++) {
    peer.client.execute("a", undefined, note, { tag: i, deadlineNs: i < 9 ? 100 : 200 });
  }
  assertEquals(peer.client.deadlineNs, 100);
  peer.client.tick(99);
  assertEquals(outcomes, []);
  peer.client.tick(100);
  // Eight at QEMU and one in the queue.
  assertEquals(outcomes, Array(9).fill("timed-out"));
  assertEquals([peer.client.inFlight, peer.client.queued, peer.client.deadlineNs], [8, 1, 200]);
  peer.reply(0);
  assertEquals([peer.client.inFlight, peer.client.queued, peer.sent.length], [8, 0, 9]);
  peer.reply(8);
  assertEquals(outcomes.length, 10);
  assertEquals(outcomes.at(-1), "done");
  assertEquals(peer.errors, []);
});

Deno.test("the end of the stream answers everything once: sent is closed, queued is unsent", () => {
  const peer = Peer.ready();
  const outcomes: string[] = [];
  for (let i = 0; i < 10; i++) peer.client.execute("a", undefined, (reply) => outcomes.push(reply.outcome));
  peer.client.close();
  peer.client.close();
  assertEquals(outcomes, [...Array(8).fill("closed"), ...Array(2).fill("unsent")]);
  peer.client.execute("a", undefined, (reply) => outcomes.push(reply.outcome));
  assertEquals(outcomes.at(-1), "unsent");
});

Deno.test("a queue that is full refuses more", () => {
  const peer = Peer.ready();
  let unsent = 0;
  for (let i = 0; i < MAX_QMP_INFLIGHT + MAX_QMP_QUEUE + 3; i++) {
    peer.client.execute("a", undefined, (reply) => unsent += reply.outcome === "unsent" ? 1 : 0);
  }
  assertEquals(unsent, 3);
});

Deno.test("what is not QMP ends the conversation with one protocol error and answers everything", () => {
  const wrong: [string, RegExp][] = [
    ["garbage\n", /not JSON/],
    ["[1]\n", /not a JSON object/],
    ["{}\n", /not a QMP message/],
    ['{"return": {}, "id": "x"}\n', /not one of ours/],
    ['{"return": {}, "id": null}\n', /not one of ours/],
    ['{"return": {}, "id": 0}\n', /not one of ours/],
    ['{"return": {}, "id": 1}\n', /not sent/],
    ['{"return": {}, "id": 999}\n', /not sent/],
    ['{"error": {"class": "GenericError", "desc": "busy"}, "id": [1]}\n', /not one of ours: busy/],
    ['{"error": 1, "id": 2}\n', /not an object/],
    ['{"event": 5}\n', /no name/],
    [GREETING, /second greeting/],
    ["\xff\xfe\n", /not JSON/],
    ["[".repeat(100_000) + "\n", /not JSON/],
  ];
  for (const [line, why] of wrong) {
    const peer = Peer.ready();
    let answers = 0;
    peer.client.execute("a", undefined, () => answers++);
    peer.say(line + '{"event": "STOP"}\n');
    assertMatch(peer.errors.join("|"), why, line.slice(0, 40));
    assertEquals([peer.errors.length, answers, peer.client.state, peer.events.length], [1, 1, "closed", 0]);
  }
});

Deno.test("an event before the greeting, and refused capabilities, are protocol errors", () => {
  const early = new Peer();
  early.say('{"event": "STOP"}\n');
  assertEquals([early.errors.length, early.client.state], [1, "closed"]);
  const refused = new Peer();
  refused.say(GREETING);
  refused.fail(0, "no");
  assertEquals([refused.errors.length, refused.ready], [1, 0]);
});

Deno.test("descriptors go to the output with their command, or are closed when it never leaves", () => {
  const peer = Peer.ready();
  const closed: number[] = [];
  const outcomes: string[] = [];
  const send = (client: QmpClient, fd: number, deadlineNs = 1e9): void => {
    const descriptors = { fds: [fd], close: () => closed.push(fd) };
    client.execute("getfd", undefined, ({ outcome }) => outcomes.push(outcome), { descriptors, deadlineNs });
  };
  for (let fd = 0; fd < MAX_QMP_INFLIGHT; fd++) send(peer.client, fd);
  assertEquals(peer.handed, [0, 1, 2, 3, 4, 5, 6, 7], "each with its command");
  send(peer.client, 20, 5);
  send(peer.client, 21);
  peer.client.tick(10);
  assertEquals([closed, outcomes], [[20], ["timed-out"]], "its time was over before it left");
  peer.reply(0);
  assertEquals([peer.handed.at(-1), closed], [21, [20]]);
  send(peer.client, 22);
  peer.client.abandon();
  assertEquals(closed, [20, 22]);
  send(peer.client, 23);
  peer.client.close();
  assertEquals(closed, [20, 22, 23]);
  send(peer.client, 24);
  assertEquals([closed, outcomes.at(-1)], [[20, 22, 23, 24], "unsent"]);
  assertEquals(peer.handed.length, MAX_QMP_INFLIGHT + 1, "what was handed on is the output's");
});

Deno.test("a stream torn and damaged at random never throws and answers each command exactly once", () => {
  const random = new SeededRandom();
  for (let round = 0; round < 3000; round++) {
    const peer = new Peer();
    const answers = new Map<number, number>();
    let issued = 0;
    let text = GREETING;
    const pump = () => {
      const bytes = encoder.encode(text);
      for (let at = 0; at < bytes.length;) {
        const piece = bytes.slice(at, at + 1 + random.below(64));
        if (random.oneIn(200)) piece[random.below(piece.length)] = random.below(256);
        peer.client.receive(piece, piece.length);
        at += piece.length;
      }
      text = "";
    };
    for (let step = 0; step < 12; step++) {
      pump();
      const first = peer.sent.length;
      for (let i = random.below(4); i > 0; i--) {
        const tag = issued++;
        peer.client.execute(
          "a",
          { n: random.u32() },
          (_, t) => answers.set(t, (answers.get(t) ?? 0) + 1),
          { tag },
        );
      }
      for (const command of peer.sent.slice(step === 0 ? 0 : first)) {
        const { id } = command;
        const answer = random.oneIn(3)
          ? { id, error: { class: "x", desc: "y" } }
          : { return: { a: [1, { b: null }] }, id };
        text += JSON.stringify(answer) + "\r\n";
        if (random.oneIn(4)) text += '{"event":"RTC_CHANGE","data":{"offset":1},"timestamp":{}}\r\n';
      }
    }
    pump();
    peer.client.close();
    const counts = [...answers.values()];
    assertEquals(answers.size, issued, `seed ${random.seed}, round ${round}: each is answered`);
    assert(counts.every((count) => count === 1), `seed ${random.seed}, round ${round}: none twice`);
    assert(peer.errors.length <= 1, `seed ${random.seed}, round ${round}`);
  }
});
