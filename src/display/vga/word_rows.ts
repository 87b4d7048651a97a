/**
 * Rows of a picture of 32 bits, out of video memory onto a canvas as they are: all of them, a piece, or one
 * in so many.
 * @module
 */
import type { RowReader, RowRequest } from "../../../ffi/picture_rows.ts";
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
  mode: LinearMode,
  rows: WordRows,
): number {
  const picture = canvas.pixels;
  const changed = memory.readRows(reader, requestOf({ picture, stride: canvas.stride }, mode, rows));
  if (changed > 0) {
    const { first, step } = rows;
    const left = reader.left >>> 2;
    const top = first + step * reader.top;
    const bottom = first + step * (reader.bottom - 1) + 1;
    canvas.damage(left, top, Math.ceil(reader.right / 4) - left, bottom - top);
  }
  return changed;
}

/** What is read of video memory so that rows come into a picture, with its bytes from row to row. */
export function requestOf(
  { picture, stride: toStride }: {
    readonly picture: Uint8Array<ArrayBufferLike>;
    readonly stride: number;
  },
  { width, height, stride, offset }: LinearMode,
  { first, count, step }: WordRows,
): RowRequest {
  assert(step >= 1 && first + step * (count - 1) < height, "rows are the picture's");
  return {
    position: offset + first * stride,
    stride: step * stride,
    picture,
    to: first * toStride,
    toStride: step * toStride,
    rowBytes: 4 * width,
    rows: count,
  };
}
