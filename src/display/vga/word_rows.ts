/**
 * Rows of a picture of 32 bits, out of video memory onto a canvas as they are: all of them, a piece, or one
 * in so many.
 * @module
 */
import type { RowReader } from "../../../ffi/picture_rows.ts";
import { assert } from "../../base/assert.ts";
import type { Canvas } from "../canvas.ts";
import type { LinearMode } from "./dispi.ts";
import type { VideoMemory } from "./video_memory.ts";

/** What rows are read out of. */
export type RowMemory = Pick<VideoMemory, "readRows">;

/** Which rows of a picture. */
export interface WordRows {
  /** The first one. */
  readonly first: number;
  /** How many. */
  readonly count: number;
  /** From one to the next; 1: each. */
  readonly step: number;
}

/**
 * Paints what has changed of some rows, and tells the canvas, which has the mode's size.
 *
 * @param reader compares them; afterwards it says where they changed
 * @returns how many changed; below 0 when the memory is not there any more
 */
export function paintWordRows(
  { memory, canvas, reader }: {
    readonly memory: RowMemory;
    readonly canvas: Canvas;
    readonly reader: RowReader;
  },
  { width, height, stride, offset }: LinearMode,
  { first, count, step }: WordRows,
): number {
  assert(step >= 1 && first + step * (count - 1) < height, "rows are the picture's");
  const changed = memory.readRows(reader, {
    position: offset + first * stride,
    stride: step * stride,
    picture: canvas.pixels,
    to: first * canvas.stride,
    toStride: step * canvas.stride,
    rowBytes: 4 * width,
    rows: count,
  });
  if (changed > 0) {
    const left = reader.left >>> 2;
    const top = first + step * reader.top;
    const bottom = first + step * (reader.bottom - 1) + 1;
    canvas.damage(left, top, Math.ceil(reader.right / 4) - left, bottom - top);
  }
  return changed;
}
