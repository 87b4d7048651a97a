import { assert, assertEquals, assertThrows } from "@std/assert";
import { encode } from "cborg";
import { Fault } from "../../../src/base/fault.ts";
import { decodeBounded } from "../../../src/event/bounded_cbor.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

const BOUNDS = { bytes: 4096, depth: 8 };

function defect(bytes: readonly number[], bounds = BOUNDS): string {
  return assertThrows(() => decodeBounded(new Uint8Array(bytes), bounds), Fault).message;
}

/** Lists within one another. */
function nested(depth: number): number[] {
  return [...new Array(depth).fill(0x81), 0x01];
}

Deno.test("what is in order is decoded", () => {
  for (
    const value of [
      0,
      -5,
      "text",
      [],
      {},
      { a: [1, { b: "c" }], d: new Uint8Array(3) },
      true,
      null,
      1.5,
      2n ** 63n,
    ]
  ) {
    assertEquals(decodeBounded(encode(value), BOUNDS), value);
  }
});

Deno.test("too large, too deep, cut off, with something behind: a short text each", () => {
  assertEquals(decodeBounded(new Uint8Array(nested(8)), BOUNDS), [[[[[[[[1]]]]]]]]);
  assert(defect(nested(9)).includes("deeper than 8"));
  assert(defect(nested(4000)).includes("deeper"));
  assert(defect(nested(60_000), { bytes: 65_536, depth: 8 }).includes("deeper"));
  assert(defect([...new Array(20).fill(0xc1), 0]).includes("deeper"), "and tags");
  assert(defect(new Array(5000).fill(0)).includes("5000 bytes"));
  for (
    const bytes of [[], [0x81], [0x18], [0x19, 1], [0x62, 0x61], [0xa1, 0x61, 0x61]]
  ) {
    assert(defect(bytes).includes("ends too early"), `${bytes}: ${defect(bytes)}`);
  }
  assert(defect([0x9b, ...new Array(8).fill(0xff)]).includes("ends too early"));
  assert(defect([0x7b, ...new Array(8).fill(0xff)]).includes("ends too early"));
  assert(defect([1, 1]).includes("behind"));
  assert(defect([0xff]).includes("end without a beginning"));
  assert(defect([0x82, 1, 0xff]).includes("end without a beginning"));
  for (const head of [0x1c, 0x1f, 0x3f, 0x5d, 0x9e]) {
    assert(defect([head]).includes("does not know"), `${head}`);
  }
});

Deno.test("an indefinite length is refused wherever it stands", () => {
  const list = [0x9f, 0x01, 0xff];
  const map = [0xbf, 0x61, 0x61, 0x02, 0xff];
  const bytes = [0x5f, 0x41, 0x01, 0xff];
  const text = [0x7f, 0x61, 0x61, 0xff];
  for (const item of [list, map, bytes, text]) {
    for (const around of [[], [0x81], [0xa1, 0x61, 0x61], [0xc1]]) {
      assertEquals(defect([...around, ...item]), "it has an indefinite length");
    }
  }
});

Deno.test("whatever the bytes are: a value, or a fault with a short text, and no other error", () => {
  withSeed((random) => {
    for (let i = 0; i < 20_000; i++) {
      const bytes = Uint8Array.from({ length: random.below(64) }, () => random.below(256));
      try {
        decodeBounded(bytes, BOUNDS);
      } catch (error) {
        assert(error instanceof Fault, `${error}`);
        assert(error.message.length < 200, error.message);
      }
    }
  });
});

Deno.test("a map with a key twice is no item: a reader could believe either value", () => {
  // {"a": 1, "a": 2}, and the same within a list.
  const twice = [0xa2, 0x61, 0x61, 0x01, 0x61, 0x61, 0x02];
  assert(defect(twice).length > 0);
  assert(defect([0x81, ...twice]).length > 0);
});
