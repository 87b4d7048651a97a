import { assertEquals, assertThrows } from "@std/assert";
import { AssertionFault } from "../../../src/base/assert.ts";
import { Mapping } from "../../../ffi/mapping.ts";
import { createMemfd } from "../../../ffi/memfd.ts";
import { copyIn, copyOut } from "../../../ffi/memory_copy.ts";
import "./loaded_shim.ts";

Deno.test("copies take exactly their bytes, in and out, also of a part of an array's buffer", () => {
  using mapping = Mapping.anonymous(4096);
  const memory = new Uint8Array(mapping.buffer);
  const array = new Uint8Array(new ArrayBuffer(32), 8, 16).map((_, i) => i + 1);
  copyIn(mapping, 100, array, 2, 3);
  assertEquals([...memory.subarray(99, 104)], [0, 3, 4, 5, 0]);
  const target = new Uint8Array(new ArrayBuffer(32), 8, 16);
  copyOut(mapping, 100, target, 14, 2);
  assertEquals([...new Uint8Array(target.buffer, 20, 6)], [0, 0, 3, 4, 0, 0]);
  copyOut(mapping, 4096, target, 16, 0);
});

Deno.test("what does not lie in its mapping and in its array is refused", () => {
  const mapping = Mapping.anonymous(4096);
  const array = new Uint8Array(16);
  for (
    const [at, from, length] of [
      [4090, 0, 7],
      [-1, 0, 1],
      [0, 10, 7],
      [0, -1, 1],
      [0, 0, -1],
      [NaN, 0, 1],
      [0, 0, 2 ** 31],
      [0, 0, NaN],
    ] as const
  ) {
    assertThrows(() => copyIn(mapping, at, array, from, length), RangeError);
    assertThrows(() => copyOut(mapping, at, array, from, length), RangeError);
  }
  mapping[Symbol.dispose]();
  assertThrows(() => copyIn(mapping, 0, array, 0, 1), AssertionFault);
  assertThrows(() => copyOut(mapping, 0, array, 0, 1), AssertionFault);
});

Deno.test("nothing is copied into a read-only mapping: that would end the process", () => {
  const file = createMemfd("read only", 4096);
  using mapping = Mapping.map(file.fd, 0, 4096, { write: false });
  assertThrows(() => copyIn(mapping, 0, new Uint8Array(1), 0, 1), RangeError);
  file.close();
});
