import { assert, assertEquals } from "@std/assert";
import { RefusalLog } from "../../../src/controls/socket/refusal_log.ts";
import { PendingPlaces } from "../../../src/controls/socket/pending_places.ts";
import { readHello } from "../../../src/protocol/hello.ts";
import { refusedFrame } from "../../../src/protocol/opening_frame.ts";
import { RESERVED_PLACES } from "../../../src/base/limits.ts";
import { SECOND } from "../../../src/base/clock.ts";
import { Log } from "../../../src/base/log.ts";
import { encode } from "cborg";
import { ManualLoop } from "../../fixtures/manual_loop.ts";

const ROOT = 0;

Deno.test("places of pending peers: a few a user, and a reserve for those who must get in", () => {
  const places = new PendingPlaces(128);
  for (let i = 0; i < 8; i++) assertEquals(places.take(1000, false), "");
  assert(places.take(1000, false).includes("uid 1000"));
  for (let uid = 1001; places.taken < 128; uid++) {
    for (let i = 0; i < 8; i++) assertEquals(places.take(uid, false), "");
  }
  assert(places.take(5000, false).includes("too many"));
  for (let i = 0; i < RESERVED_PLACES; i++) assertEquals(places.take(ROOT, true), "");
  assert(places.take(ROOT, true) !== "");
  for (let i = 0; i < RESERVED_PLACES; i++) places.give(ROOT);
  for (let i = 0; i < 8; i++) places.give(1000);
  assertEquals(places.take(1000, false), "");
  assertEquals(places.taken, 121);
  assertEquals(new PendingPlaces(16_384).take(1, false), "");
});

Deno.test("the log of refusals: a few lines a second and user, then how many there were more", () => {
  const loop = new ManualLoop();
  const lines: string[] = [];
  const log = new RefusalLog(new Log("socket", "info", (line) => lines.push(line)), loop);
  for (let i = 0; i < 1000; i++) log.refused(4242, { code: 17, reason: "no" });
  for (let i = 0; i < 3; i++) log.broke(4243, "short frame");
  assertEquals(lines.length, 8);
  loop.turn(SECOND);
  assertEquals(lines.length, 9);
  assert(/uid=4242 count=995/.test(lines[8] as string), lines[8]);
  assertEquals(loop.timers.size, 0, "nothing is armed while nobody is turned away");
  // As many users as one has numbers for: the table is bounded, and so are the lines.
  for (let uid = 10_000; uid < 30_000; uid++) log.refused(uid, { code: 17, reason: "no" });
  loop.turn(SECOND);
  assert(lines.length < 9 + 64 + 10, `${lines.length} lines`);
  assert(lines.at(-1)?.includes("uid=others"), lines.at(-1));
});

Deno.test("a HELLO of whatever kind: an answer that can be sent, short and printable", () => {
  const traps = [
    { proto: { toString: 1, valueOf: 1 } },
    { proto: [[[]]] },
    { proto: "p".repeat(4000) },
    { proto: "\x1b[2J\u202e\n" },
    { proto: 2n ** 63n },
    { proto: new Uint8Array(100) },
    { proto: null },
    { proto: 1, name: 7 },
    { proto: 1, name: "x", sub: { sources: -1 } },
    { proto: 1, name: "x", sub: { endpoints: "all" } },
    [],
    "text",
    7,
  ];
  for (const trap of traps) {
    const hello = readHello(encode(trap));
    assert(!hello.ok);
    assert(hello.reason.length < 800, `${hello.reason.length}`);
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x1f\u202e]/.test(hello.reason), hello.reason);
    assert(refusedFrame(13, hello.reason).length < 2048);
  }
  assert(refusedFrame(13, "r".repeat(1_000_000)).length < 2048);
  const long = readHello(encode({ proto: 1, name: "ü".repeat(60) }));
  assert(
    long.ok && new TextEncoder().encode(long.hello.name).length === 64,
    "a name is cut between characters",
  );
  const unknown = readHello(encode({ proto: 1, name: "x", later: { deep: [[[[1]]]] } }));
  assert(unknown.ok, "what it does not know is left alone");
});
