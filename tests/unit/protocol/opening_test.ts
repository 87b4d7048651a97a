/** HELLO, WELCOME and REFUSED: what one side writes the other reads, and what else may stand there. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { decode, encode } from "cborg";
import { maskOf } from "../../../src/access/grant.ts";
import { CODE } from "../../../src/base/codes.ts";
import { Fault } from "../../../src/base/fault.ts";
import type { ControlId } from "../../../src/base/ids.ts";
import { KIND_MAX } from "../../../src/event/kind.ts";
import { EventPool } from "../../../src/event/transfer_event.ts";
import { checkFrame, decodeFrame } from "../../../src/protocol/frame.ts";
import { helloBody, readHello } from "../../../src/protocol/hello.ts";
import { errorFrame, helloFrame, refusedFrame, welcomeFrame } from "../../../src/protocol/opening_frame.ts";
import { readRefused, readWelcome, welcomeBody } from "../../../src/protocol/welcome.ts";
import { cborOf, parseFrame } from "../controls/raw_frame.ts";

const WELCOME = {
  control: 7 as ControlId,
  principal: 1000,
  endpoints: maskOf([0, 31, 32, 63]),
  sources: 0x7f,
  caps: 0x1feb,
  arbPrio: 10,
  kinds: 114,
  as: "",
};

Deno.test("a HELLO as the page has it, and read again", () => {
  const hello = {
    name: "narrow",
    sources: 0x42,
    prioMin: 2,
    endpoints: maskOf([0, 63]),
    kinds: 114,
    as: "",
  } as const;
  const frame = parseFrame(helloFrame(hello));
  assertEquals([frame.kind, frame.source, frame.dir, frame.prio, frame.format], [96, 0, 1, 0, 2]);
  assertEquals(cborOf(frame), {
    proto: 1,
    name: "narrow",
    sub: { sources: 0x42, prio_min: 2, endpoints: (1n << 63n) | 1n },
    kinds: 114,
  });
  assertEquals(readHello(frame.body), { ok: true, hello });
  // What is left out is not narrowed; a build says how many kinds it knows.
  assertEquals(decode(helloBody({ name: "all" })), {
    proto: 1,
    name: "all",
    sub: { sources: 511, prio_min: 0, endpoints: 0 },
    kinds: KIND_MAX,
  });
});

Deno.test("a HELLO of before `kinds` means the same as ever, and is told nothing of it", () => {
  const reading = readHello(encode({ proto: 1 }));
  const plain = { name: "", sources: 511, prioMin: 0, endpoints: maskOf([]), kinds: 0, as: "" } as const;
  assertEquals(reading, { ok: true, hello: plain });
  for (const kinds of [-1, 2 ** 32, "x", null, [], {}, 1.5, 2n ** 63n]) {
    assertEquals(readHello(encode({ proto: 1, kinds })), reading, String(kinds));
  }
  const told = decode(welcomeBody({ ...WELCOME, kinds: 0 }));
  assertEquals(Object.keys(told).includes("kinds"), false);
});

Deno.test("a HELLO that speaks for somebody: said only then, and never passed over", () => {
  for (const as of ["token:alice", "nats:UB4I.x_y-z@host", `token:${"a".repeat(64)}`]) {
    const body = helloBody({ name: "web", as });
    assertEquals(decode(body).as, as);
    const reading = readHello(body);
    assert(reading.ok && reading.hello.as === as, as);
  }
  assertEquals("as" in decode(helloBody({ name: "web", as: "" })), false);
  const bad = [
    "alice",
    "uid:0",
    "token:",
    "token:-x",
    "token:a b",
    "token:a\nb",
    "TOKEN:a",
    `nats:${"a".repeat(65)}`,
  ];
  for (const as of [...bad, "token:é", "token:*", 7, [], {}, true, new Uint8Array(3)]) {
    const reading = readHello(encode({ proto: 1, as }));
    assert(!reading.ok && !reading.unsupported, String(as));
    assertEquals(reading.reason.startsWith("HELLO: as is "), true, reading.reason);
    // deno-lint-ignore no-control-regex
    assertEquals(/[\0-\x1f]/.test(reading.reason), false, "what is quoted is escaped");
  }
  const told = welcomeBody({ ...WELCOME, as: "token:alice" });
  assertEquals(readWelcome(told).as, "token:alice");
  assertEquals(
    "as" in decode(welcomeBody(WELCOME)),
    false,
    "a peer that did not ask is told what it always was",
  );
});

Deno.test("a WELCOME as the page has it, and read again; one without `kinds` is an older daemon's", () => {
  const frame = parseFrame(welcomeFrame(WELCOME));
  assertEquals([frame.kind, frame.source, frame.dir, frame.prio, frame.seq], [97, 4, 0, 3, 0]);
  assertEquals(readWelcome(frame.body), WELCOME);
  assertEquals(readWelcome(welcomeBody({ ...WELCOME, kinds: 0 })).kinds, 0);
  assertEquals(readWelcome(encode({ ...decode(frame.body), kinds: "many", later: [1] })).kinds, 0);
  for (const key of ["proto", "control", "principal", "endpoints", "sources", "caps", "arb_prio"]) {
    for (const value of [undefined, -1, "1", 1.5]) {
      const fault = assertThrows(() => readWelcome(encode({ ...decode(frame.body), [key]: value })), Fault);
      assertEquals((fault as Fault).code, "protocol-error", `${key} ${value}`);
    }
  }
  assertThrows(() => readWelcome(encode({ ...decode(frame.body), proto: 2 })), Fault, "protocol 2");
});

Deno.test("a REFUSED is short, on one line, and read without believing it", () => {
  const frame = parseFrame(refusedFrame(CODE["not-admitted"], `no\n${"x".repeat(10_000)}`));
  assertEquals(frame.kind, 98);
  const { code, reason } = readRefused(frame.body);
  assertEquals([code, reason.length, reason.includes("\n")], [17, 512, false]);
  assertEquals(readRefused(encode({ code: "x", reason: 5 })), { code: undefined, reason: "" });
  assertThrows(() => readRefused(encode([1])), Fault);
});

Deno.test("each frame of the opening passes the check of every receiver, and is of no endpoint where it says so", () => {
  const pool = new EventPool();
  const frames = [
    helloFrame({ name: "x" }),
    welcomeFrame(WELCOME),
    refusedFrame(CODE.busy, "later"),
    errorFrame(CODE["protocol-error"], "short frame"),
  ];
  for (const bytes of frames) {
    const view = new DataView(bytes.buffer);
    assertEquals(checkFrame(view, 0, bytes.length, 0), "");
    const event = pool.acquire();
    decodeFrame(event, bytes, view, 0);
    assert(event.kind !== 0 && event.token === 0);
    event.release();
  }
  const error = parseFrame(frames[3]!);
  assertEquals([error.endpoint, error.words[0]], [0xffffffff, 13]);
  assertEquals(pool.live, 0);
});
