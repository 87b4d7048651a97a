/**
 * The order in which a guest's RAM is searched for what its kernel allocated early in its boot: reading a
 * page costs a third of a microsecond (the host maps it), a whole guest some tens of milliseconds.
 *
 * First the beginning of each segment, the last segment first: Linux 6.1 has its VMCOREINFO note there,
 * measured with 512 MiB to 4 GiB of RAM. RAM below 16 MiB follows later, because it is reserved for old
 * devices (ZONE_DMA), and a kernel takes its own pages above it. Then the rest from the end of RAM downwards.
 * @module
 */
import type { RamSegment } from "./ram_port.ts";

const PAGE_BYTES = 4096;
/** Frames of each segment's beginning: 32 MiB. */
const FIRST_FRAMES = 1 << 13;
/** First frame above the memory of old devices: 16 MiB. */
const DMA_FRAMES = 1 << 12;
/** Frames searched at a time (upwards within these): 64 MiB. */
const STEP_FRAMES = 1 << 14;

/** Ranges of frames, each within one segment, all segments once. */
export function* earlyRanges(
  segments: readonly RamSegment[],
): Generator<{ readonly from: number; readonly to: number }> {
  for (let i = segments.length - 1; i >= 0; i--) {
    const { from, first } = framesOf(segments[i] as RamSegment);
    const middle = Math.min(first, Math.max(from, DMA_FRAMES));
    if (middle < first) yield { from: middle, to: first };
    if (from < middle) yield { from, to: middle };
  }
  for (let i = segments.length - 1; i >= 0; i--) {
    const { first, to } = framesOf(segments[i] as RamSegment);
    for (let end = to; end > first; end -= STEP_FRAMES) {
      yield { from: Math.max(first, end - STEP_FRAMES), to: end };
    }
  }
}

/** A segment's first frame, the end of its beginning, and its end. */
function framesOf({ gpa, sizeBytes }: RamSegment): { from: number; first: number; to: number } {
  const from = gpa / PAGE_BYTES;
  const to = from + sizeBytes / PAGE_BYTES;
  return { from, first: Math.min(to, from + FIRST_FRAMES), to };
}
