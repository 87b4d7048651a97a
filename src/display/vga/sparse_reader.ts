/**
 * A picture of 32 bits out of video memory, for who looks at it seldom: one row in four is read, at each look
 * those that follow the ones read before, and where one of them has changed all that is around it. So what
 * changes on four rows or more, as every letter does, is seen at once, anything else with one of the next
 * four looks; and a look costs a third of one at all rows.
 *
 * The rows are compared with what is shown, and nothing is painted before one has changed: a canvas of slots
 * brings a slot up to date before it is painted. Where most of the picture has changed, as when a screen
 * scrolls, all that is around is painted whatever it was before, and is not copied first.
 * @module
 */
import { RowReader } from "../../../ffi/picture_rows.ts";
import { assert } from "../../base/assert.ts";
import type { Canvas } from "../canvas.ts";
import type { LinearMode } from "./dispi.ts";
import { paintWordRows, requestOf, type RowMemory } from "./word_rows.ts";

/** A part of the rows around what changed from which on they are painted without a look at what was there. */
const MOST = 0.5;
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
    const { shown } = this.#canvas;
    const seen = shown === undefined
      ? this.#read(mode, { first: phase, step: SPARSE_ROWS })
      : this.#look(mode, phase, shown);
    if (seen <= 0) return seen;
    const { top, bottom } = this.#reader;
    const first = Math.max(0, phase + SPARSE_ROWS * (top - 1) + 1);
    const end = Math.min(height, phase + SPARSE_ROWS * bottom);
    assert(first < end && end <= height, "what is around changed rows lies in the picture");
    if (shown !== undefined && end - first >= MOST * height) {
      this.#canvas.repaint(0, first, mode.width, end - first);
    }
    const around = this.#read(mode, { first, step: 1, end });
    return around < 0 ? around : seen + around;
  }

  /** Looks at all rows. @returns as {@linkcode read} */
  readAll(mode: LinearMode): number {
    return this.#read(mode, { first: 0, step: 1 });
  }

  /** Compares one row in so many with what is shown. */
  #look(mode: LinearMode, first: number, shown: Uint8Array): number {
    const count = Math.ceil((mode.height - first) / SPARSE_ROWS);
    const picture = { picture: shown, stride: this.#canvas.stride };
    const request = requestOf(picture, mode, { first, count, step: SPARSE_ROWS });
    return this.#memory.readRows(this.#reader, { ...request, onlyLooks: true });
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
