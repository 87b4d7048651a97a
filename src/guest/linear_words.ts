/**
 * The view of RAM for the walker's fast path: one array over everything that lies at its guest-physical
 * address in one buffer.
 * @module
 */
import { MAX_LINEAR_VIEW_BYTES } from "../base/limits.ts";
import type { RamSegment } from "./ram_port.ts";

const NO_WORDS = new Int32Array(0);

/** The words of all segments that one buffer maps at their guest-physical addresses. */
export function linearWords(segments: readonly RamSegment[]): Int32Array {
  const buffer = segments[0]?.mapped?.buffer;
  let end = 0;
  for (const { gpa, sizeBytes, mapped } of segments) {
    if (buffer === undefined || mapped?.buffer !== buffer || mapped.byteOffset !== gpa) break;
    end = gpa + sizeBytes;
  }
  return buffer === undefined || end === 0
    ? NO_WORDS
    : new Int32Array(buffer, 0, Math.min(end, MAX_LINEAR_VIEW_BYTES) / 4);
}
