/** The order of early_ranges.ts: every frame of every segment once, the beginnings first. @module */
import { assert, assertEquals } from "@std/assert";
import { earlyRanges } from "../../../src/guest/early_ranges.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

Deno.test("each segment is gone through once and whole, beginnings first, the last segment's before all", () => {
  const segments = [
    { gpa: 0, sizeBytes: 640 * 1024 },
    { gpa: MIB, sizeBytes: 300 * MIB },
    { gpa: 4 * GIB, sizeBytes: 32 * MIB + 4096 },
  ];
  const ranges = [...earlyRanges(segments)];
  assertEquals(ranges.slice(0, 5), [
    { from: GIB / 1024, to: GIB / 1024 + 8192 },
    // Above the memory of old devices, then that.
    { from: 4096, to: 256 + 8192 },
    { from: 256, to: 4096 },
    { from: 0, to: 160 },
    { from: GIB / 1024 + 8192, to: GIB / 1024 + 8193 },
  ]);
  const inOrder = ranges.toSorted((a, b) => a.from - b.from);
  let frames = 0;
  for (const [i, { from, to }] of inOrder.entries()) {
    assert(from < to && (i === 0 || from >= (inOrder[i - 1]?.to ?? 0)), "ranges do not overlap");
    assert(segments.some(({ gpa, sizeBytes }) => from * 4096 >= gpa && to * 4096 <= gpa + sizeBytes));
    frames += to - from;
  }
  assertEquals(frames * 4096, segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
});
