/**
 * Where a write may land: at the edges by hand, elsewhere against a model of 64-bit integers.
 * @module
 */
import { assertEquals } from "@std/assert";
import { WriteExtents } from "../../../../src/adapters/memctx/write_extents.ts";
import { withSeed } from "../../../fixtures/seeded_random.ts";

const hi = (address: bigint) => Number(BigInt.asIntN(32, address >> 32n));
const lo = (address: bigint) => Number(BigInt.asIntN(32, address));

Deno.test("an extent is its endpoint's, its space's, and ends before its end", () => {
  const extents = new WriteExtents([
    { endpoint: "a", space: "process", from: 0x1000, to: 0x2000 },
    { endpoint: "b", space: "process", from: 0x5000, to: 0x6000 },
    { endpoint: "*", space: "kernel", from: -0x8000_0000, to: -0x7000_0000 },
  ], "a");
  assertEquals(extents.allow(false, 0, 0x1000, 1), true);
  assertEquals(extents.allow(false, 0, 0xfff, 1), false);
  assertEquals(extents.allow(false, 0, 0x1ff8, 8), true);
  assertEquals(extents.allow(false, 0, 0x1ff9, 8), false);
  assertEquals(extents.allow(true, 0, 0x1000, 1), false, "another space");
  assertEquals(extents.allow(false, 0, 0x5000, 1), false, "another endpoint");
  assertEquals(extents.allow(true, -1, 0x8000_0000 | 0, 4096), true);
  assertEquals(extents.allow(false, -1, 0x8000_0000 | 0, 4096), false);
  assertEquals(new WriteExtents([], "a").allow(false, 0, 0x1000, 1), false, "none is nowhere");
  const low = new WriteExtents([{ endpoint: "a", space: "process", from: 0, to: 168 }], "a");
  assertEquals(low.allow(false, -1, -10, 39), false, "from the end of all addresses around to their begin");
  const empty = new WriteExtents([{ endpoint: "a", space: "process", from: 0x2000, to: 0x1000 }], "a");
  assertEquals(empty.allow(false, 0, 0x1800, 1), false);
});

Deno.test("extents agree with 64-bit integers, across 4 GiB borders and in the kernel half", () => {
  withSeed((random) => {
    for (let round = 0; round < 5000; round++) {
      const kernel = random.oneIn(2);
      const base = kernel ? -(2 ** 47) + random.below(2 ** 32) * 2 ** 14 : random.below(2 ** 32) * 2 ** 14;
      const border = Math.round(base / 2 ** 32) * 2 ** 32;
      // A process's half begins at 0: no range of it lies below.
      const around = (random.oneIn(2) ? border : base) - random.below(64) * 8;
      const from = kernel ? around : Math.max(0, around);
      const to = from + random.below(128) * 8;
      const extents = new WriteExtents(
        [{ endpoint: "a", space: kernel ? "kernel" : "process", from, to }],
        "a",
      );
      const at = BigInt(from) + BigInt(random.below(96)) - 32n;
      const size = 1 + random.below(64);
      const unsigned = BigInt.asUintN(64, at);
      const expected = at >= BigInt(from) && at + BigInt(size) <= BigInt(to);
      assertEquals(
        extents.allow(kernel, hi(unsigned), lo(unsigned), size),
        expected,
        `${from} to ${to}, ${size} at ${at}`,
      );
    }
  });
});
