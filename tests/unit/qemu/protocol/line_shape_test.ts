import { assertEquals, assertMatch } from "@std/assert";
import {
  MAX_QMP_DEPTH,
  MAX_QMP_LINE_BYTES,
  MAX_QMP_PARTS,
  MAX_QMP_SHORT_LINE_BYTES,
} from "../../../../src/base/limits.ts";
import { SECOND } from "../../../../src/base/clock.ts";
import { EVENT_BURST, EventGauge, EVENTS_A_SECOND } from "../../../../src/qemu/protocol/event_gauge.ts";
import { shapeDefect } from "../../../../src/qemu/protocol/line_shape.ts";
import { QmpClient } from "../../../../src/qemu/protocol/qmp_client.ts";
import { withSeed } from "../../../fixtures/seeded_random.ts";

const encoder = new TextEncoder();

function defectOf(text: string): string {
  // In the middle of other bytes, as lines lie.
  const bytes = encoder.encode(`]]"${text}[["`);
  return shapeDefect(bytes, 3, bytes.length - 3);
}

Deno.test("depth and parts are bounded; what stands in a text does not count", () => {
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  assertEquals(defectOf(nested(MAX_QMP_DEPTH)), "");
  assertMatch(defectOf(nested(MAX_QMP_DEPTH + 1)), /nested deeper than 64/);
  assertMatch(defectOf('{"a":'.repeat(500_000)), /nested/);
  assertEquals(defectOf(`[${"[],".repeat(1000)}1]`), "", "one after another is not within each other");
  assertEquals(defectOf(JSON.stringify({ return: "[{".repeat(100_000) })), "");
  assertEquals(defectOf(JSON.stringify({ return: '\\"[[[\\\\"'.repeat(100) + "[".repeat(1000) })), "");
  assertMatch(defectOf(`[${"1,".repeat(MAX_QMP_PARTS)}1]`), /values/);
  assertMatch(defectOf(`"${'\\"'.repeat(MAX_QMP_PARTS + 1)}"`), /values/);
  assertMatch(defectOf('{"event'), /does not end/);
  assertMatch(defectOf('{"event\\'), /does not end/);
  assertEquals(defectOf('"\\\\"'), "");
  assertEquals(defectOf(""), "");
});

Deno.test("whatever JSON is flat passes, with any text in it", () => {
  withSeed((random) => {
    for (let i = 0; i < 500; i++) {
      const text = Array.from({ length: random.below(20) }, () => '\\"[{]},:a'[random.below(9)]).join("");
      let value: unknown = { [text]: [text, 1, null, { [text]: text }] };
      const depth = random.below(80);
      for (let k = 0; k < depth; k++) value = random.oneIn(2) ? [value] : { [text]: value };
      const fits = depth + 3 <= MAX_QMP_DEPTH;
      assertEquals(defectOf(JSON.stringify(value)) === "", fits, JSON.stringify(value));
    }
  });
});

Deno.test("a line may be long only while QEMU owes the answer to an HMP command", () => {
  const errors: string[] = [];
  const values: unknown[] = [];
  const client = new QmpClient({ sendCommand: () => {} }, {
    onGreeting: () => {},
    onReady: () => {},
    onEvent: () => {},
    onProtocolError: (why) => errors.push(why),
  });
  const say = (text: string): void => {
    const bytes = encoder.encode(text);
    for (let at = 0; at < bytes.length; at += 16_384) {
      const piece = bytes.slice(at, at + 16_384);
      client.receive(piece, piece.length);
    }
  };
  const text = (bytes: number): string => "x".repeat(bytes);
  say('{"QMP": {}}\n{"return": {}}\n');
  const ask = (command: string): void =>
    client.execute(
      command,
      undefined,
      (reply) => values.push(reply.outcome === "done" ? reply.value : reply.outcome),
    );
  ask("human-monitor-command");
  ask("query-status");
  const long = text(MAX_QMP_LINE_BYTES - 100);
  say(`{"return": "${long}"}\n`);
  assertEquals([values, errors], [[long], []]);
  say(`{"event": "A", "data": {"a": "${text(MAX_QMP_SHORT_LINE_BYTES - 100)}"}}\n`);
  assertEquals(errors, []);
  say(`{"event": "A", "data": {"a": "${text(MAX_QMP_SHORT_LINE_BYTES)}"}}\n`);
  assertEquals([client.state, errors.length, values.at(-1)], ["closed", 1, "closed"]);
  assertMatch(errors[0] as string, /longer than 65536 bytes/);
});

Deno.test("events: a burst and a rate; a command brings what it causes; failed disk requests are not counted", () => {
  const gauge = new EventGauge();
  let nowNs = SECOND;
  const count = (name: string, most: number): number => {
    let n = 0;
    while (n < most && gauge.admits(name, nowNs)) n++;
    return n;
  };
  assertEquals(count("RESET", 5000), EVENT_BURST);
  assertEquals(count("BLOCK_IO_ERROR", 100_000), 100_000);
  assertEquals(count("STOP", 1), 0);
  nowNs += SECOND / 2;
  assertEquals(count("RESET", 5000), EVENTS_A_SECOND / 2);
  gauge.noteCommand("query-status");
  gauge.noteCommand("human-monitor-command");
  assertEquals(count("RESET", 1), 0);
  // A VM that is stopped and resumed as fast as it can be, for as long as one likes.
  for (let i = 0; i < 20_000; i++) {
    gauge.noteCommand("stop");
    gauge.noteCommand("cont");
    assertEquals(count("STOP", 1) + count("RESUME", 1), 2);
  }
  // A guest that resets itself in a circle.
  for (let i = 0; i < 20_000; i++) {
    nowNs += SECOND / 900;
    assertEquals(count("RESET", 1), 1);
  }
});
