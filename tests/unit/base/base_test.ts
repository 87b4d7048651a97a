import { assertEquals, assertThrows } from "@std/assert";
import { assert, AssertionFault, unreachable } from "../../../src/base/assert.ts";
import { ManualClock } from "../../../src/base/clock.ts";
import { closestName, suggestion } from "../../../src/base/closest_name.ts";
import { defaultSocketPath } from "../../../src/base/default_socket.ts";
import { exitCodeOf, Fault, messageOf } from "../../../src/base/fault.ts";
import { bytesOfHex, hexOfBytes } from "../../../src/base/hex.ts";
import { hexOfGva, parseAddress } from "../../../src/base/ids.ts";
import { layout, readS64, readU64, writeU64 } from "../../../src/base/layout.ts";
import { Log } from "../../../src/base/log.ts";
import { readText, writeText } from "../../../src/event/inline_text.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

Deno.test("assert and unreachable stop with a fault of their own", () => {
  assert(1, "one");
  assertThrows(() => assert(0, "the moon is round"), AssertionFault, "the moon is round");
  assertThrows(() => unreachable("x" as never), AssertionFault, "x");
});

Deno.test("faults have a code, and commands their exit status by it", () => {
  const fault = new Fault("refused", "Cannot", { cause: 1 });
  assertEquals([fault.name, fault.code, fault.cause], ["Fault", "refused", 1]);
  const codes = ["refused", "usage", "missing", "unreachable", "interrupted"] as const;
  assertEquals(codes.map((code) => exitCodeOf(new Fault(code, ""))), [1, 2, 3, 4, 130]);
  assertEquals(exitCodeOf("anything"), 1);
  assertEquals([messageOf(fault), messageOf(7)], ["Cannot", "7"]);
});

Deno.test("a layout that overlaps, is not aligned or does not fit is our own mistake", () => {
  const good = layout(16, { a: [0, "u32"], b: [8, "u64"] });
  assertEquals([good.sizeBytes, good.at.b], [16, 8]);
  assertThrows(() => layout(16, { a: [0, "u64"], b: [4, "u32"] }), AssertionFault, "overlap");
  assertThrows(() => layout(16, { a: [2, "u32"] }), AssertionFault, "aligned");
  assertThrows(() => layout(16, { a: [12, "bytes", 5] }), AssertionFault, "fit");
});

Deno.test("64-bit fields as doubles agree with BigInt", () => {
  withSeed((random) => {
    const view = new DataView(new ArrayBuffer(8));
    for (let n = 0; n < 2000; n++) {
      const value = random.u32() * 2 ** random.below(22);
      writeU64(view, 0, value);
      assertEquals(view.getBigUint64(0, true), BigInt(value));
      assertEquals(readU64(view, 0), value);
      const negative = -value;
      writeU64(view, 0, negative);
      assertEquals(view.getBigInt64(0, true), BigInt(negative));
      assertEquals(readS64(view, 0) + 0, negative + 0);
    }
  });
});

Deno.test("addresses: kernel halves are held signed and shown unsigned", () => {
  assertEquals(hexOfGva(-0x778000000000), "0xffff888000000000");
  assertEquals([hexOfGva(0), hexOfGva(0x7fff_ffff_f000), hexOfGva(-8)], [
    "0x0",
    "0x7ffffffff000",
    "0xfffffffffffffff8",
  ]);
  assertEquals(parseAddress("0xffff888000000000"), -0x778000000000);
  assertEquals([parseAddress("4096"), parseAddress("0X1f")], [4096, 31]);
  for (const text of ["", "0x", "-1", "1e3", "0x1g", "0x10000000000000000", " 1"]) {
    assertEquals(parseAddress(text), undefined, text);
  }
});

Deno.test("hexadecimal text and back", () => {
  const bytes = new Uint8Array([0, 1, 0xab, 0xff]);
  assertEquals(hexOfBytes(bytes), "0001abff");
  for (const text of ["0001abff", "0x0001ABFF", "00 01 ab ff", "00:01:ab:ff"]) {
    assertEquals(bytesOfHex(text), bytes);
  }
  for (const text of ["", "0x", "0", "zz", "0x1"]) assertEquals(bytesOfHex(text), undefined);
});

Deno.test("inline text is cut between characters, padded, and read however broken it is", () => {
  const bytes = new Uint8Array(12).fill(0xee);
  writeText(bytes, 2, 8, "aäöü€");
  assertEquals(
    [...bytes.subarray(0, 2), ...bytes.subarray(10)],
    [0xee, 0xee, 0xee, 0xee],
    "nothing outside is touched",
  );
  assertEquals(readText(bytes, 2, 8), "aäöü");
  writeText(bytes, 2, 8, "€€€");
  assertEquals(readText(bytes, 2, 8), "€€");
  writeText(bytes, 2, 8, "x");
  assertEquals([readText(bytes, 2, 8), bytes[9]], ["x", 0]);
  assertEquals(readText(new Uint8Array([0xff, 0x41, 0]), 0, 3), "\ufffdA");
  assertEquals(readText(new Uint8Array([0x41, 0x42]), 0, 2), "AB");
});

Deno.test("a log line is one line, whatever a peer puts into it", () => {
  const lines: string[] = [];
  const log = new Log("core", "info", (line) => lines.push(line));
  log.info("one\ntwo", { name: 'evil"\n<3>fake', n: 5, path: "/run/x.sock", gone: undefined });
  log.debug("not this");
  log.for("audit").error("bad");
  assertEquals(lines, [
    'info  core: one\\x0atwo name="evil\\"\\x0a<3>fake" n=5 path=/run/x.sock',
    "error audit: bad",
  ]);
  assertEquals([log.wants("warn"), log.wants("debug")], [true, false]);
  new Log("core", "debug", (line) => lines.push(line), true).warn("w");
  assertEquals(lines.at(-1), "<4>core: w");
});

Deno.test("did you mean", () => {
  const known = ["watch", "lease", "mouse"];
  assertEquals(["wathc", "WATCH", "leas", "xyzzy"].map((name) => closestName(name, known)), [
    "watch",
    "watch",
    "lease",
    undefined,
  ]);
  assertEquals([suggestion("mous", known), suggestion("q", known)], [" (did you mean mouse?)", ""]);
});

Deno.test("where the control socket is by default", () => {
  assertEquals(defaultSocketPath(0, "/run/user/0"), "/run/vmsig/control.sock");
  assertEquals(defaultSocketPath(1000, "/run/user/1000/"), "/run/user/1000/vmsig/control.sock");
  assertThrows(() => defaultSocketPath(1000, undefined), Fault, "--socket");
  assertThrows(() => defaultSocketPath(1000, ""), Fault);
});

Deno.test("a manual clock is turned by hand", () => {
  const clock = new ManualClock(5);
  clock.advance(10);
  assertEquals(clock.nowNs(), 15);
});
