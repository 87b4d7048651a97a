/**
 * A picture of 32 bits out of video memory, for who looks at it seldom: one row in four is read, at each look
 * those that follow the ones read before, and where one of them has changed all that is around it. So what
 * changes on four rows or more, as every letter does, is seen at once, anything else with one of the next
 * four looks; and a look costs a third of one at all rows.
 * @module
 */
import { RowReader } from "../../../ffi/picture_rows.ts";
import { assert } from "../../base/assert.ts";
import type { Canvas } from "../canvas.ts";
import type { LinearMode } from "./dispi.ts";
import { paintWordRows, type RowMemory } from "./word_rows.ts";

/** One row in so many. */
export const SPARSE_ROWS = 4;

/** Reads rows over a canvas, and says what changed. */
export class SparseReader {
  readonly #memory: RowMemory;
  readonly #canvas: Canvas;
  readonly #reader = new RowReader();
  #phase = 0;

  /** Reads nothing yet. @param memory the card's, borrowed @param canvas of the mode's size when it reads */
  constructor(memory: RowMemory, canvas: Canvas) {
    this.#memory = memory;
    this.#canvas = canvas;
  }

  /**
   * Looks at one row in four, and around what has changed.
   *
   * @returns how many rows changed; negative when QEMU has gone
   */
  read(mode: LinearMode): number {
    const { height } = mode;
    if (height < SPARSE_ROWS) return this.readAll(mode);
    const phase = this.#phase = (this.#phase + 1) % SPARSE_ROWS;
    const seen = this.#read(mode, { first: phase, step: SPARSE_ROWS });
    if (seen <= 0) return seen;
    const { top, bottom } = this.#reader;
    const first = Math.max(0, phase + SPARSE_ROWS * (top - 1) + 1);
    const end = Math.min(height, phase + SPARSE_ROWS * bottom);
    assert(first < end && end <= height, "what is around changed rows lies in the picture");
    const around = this.#read(mode, { first, step: 1, end });
    return around < 0 ? around : seen + around;
  }

  /** Looks at all rows. @returns as {@linkcode read} */
  readAll(mode: LinearMode): number {
    return this.#read(mode, { first: 0, step: 1 });
  }

  #read(
    mode: LinearMode,
    { first, step, end = mode.height }: {
      readonly first: number;
      readonly step: number;
      readonly end?: number;
    },
  ): number {
    const at = { memory: this.#memory, canvas: this.#canvas, reader: this.#reader };
    return paintWordRows(at, mode, { first, count: Math.ceil((end - first) / step), step });
  }
}
