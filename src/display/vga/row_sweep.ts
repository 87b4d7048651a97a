/**
 * How a picture's rows are read while somebody watches: a piece at a time, over half of the time until the
 * next picture, as a monitor draws them one below the other. All at once, what reads a large picture has a
 * processor for half a millisecond or more, and a QEMU that wakes up meanwhile to answer its monitor waits
 * for it. A piece takes some 40 us, 70 to 100 us on a busy machine.
 *
 * It is the processor alone that QEMU waits for: with QEMU's threads and the client before everything else
 * (SCHED_FIFO), 60 pictures a second leave the p99 of query-status as it is (0.94 to 1.06 of that without,
 * 9 windows each, load 20 to 30), in 1, 16 or 64 pieces, by /proc/PID/mem or process_vm_readv. So the lock on
 * QEMU's memory map, the caches and the memory's bandwidth play no part that shows.
 * @module
 */
import { ROW_SCRATCH_BYTES } from "../../../ffi/picture_rows.ts";
import { assert } from "../../base/assert.ts";
import { MS, NEVER } from "../../base/clock.ts";

/** What a picture's pieces are spread over at most: what it shows is not older than that. */
const LONGEST_SWEEP_NS = 8 * MS;
/** Fewer pieces are read at once. */
const FEWEST_PIECES = 3;

/** Rows of a picture. */
export interface RowRange {
  /** The first one. */
  readonly first: number;
  /** How many. */
  readonly count: number;
}

/** One picture's pieces. */
export class RowSweep {
  #state:
    | { readonly beganNs: number; readonly gapNs: number; readonly rows: number; readonly piece: number }
    | undefined;
  #pieces = 0;

  /** Whether pieces are left to be read. */
  get isUnderWay(): boolean {
    return this.#state !== undefined;
  }

  /** When the next piece is due; NEVER while none is left. */
  get nextNs(): number {
    return this.#state === undefined ? NEVER : this.#state.beganNs + this.#pieces * this.#state.gapNs;
  }

  /**
   * A picture begins. One that is small stays in one piece.
   *
   * @param rows its rows
   * @param rowBytes bytes from row to row
   * @param nowNs when its first piece is read
   * @param gapNs from picture to picture
   */
  begin(rows: number, rowBytes: number, nowNs: number, gapNs: number): void {
    assert(!this.isUnderWay && rows >= 1 && rowBytes >= 1, "one picture is read at a time");
    const piece = Math.max(1, Math.floor(ROW_SCRATCH_BYTES / rowBytes));
    const pieces = Math.ceil(rows / piece);
    if (pieces < FEWEST_PIECES) return;
    this.#pieces = 0;
    this.#state = { beganNs: nowNs, gapNs: Math.min(gapNs / 2, LONGEST_SWEEP_NS) / pieces, rows, piece };
  }

  /** Takes the next piece; all rows where the picture is in one. @param rows the picture's */
  next(rows: number): RowRange {
    const state = this.#state;
    if (state === undefined) return { first: 0, count: rows };
    assert(state.rows === rows, "a sweep ends with its mode");
    const first = this.#pieces++ * state.piece;
    const count = Math.min(state.piece, rows - first);
    if (first + count === rows) this.#state = undefined;
    return { first, count };
  }

  /** What is left is not read any more. */
  end(): void {
    this.#state = undefined;
  }
}
