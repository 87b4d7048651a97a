/**
 * Queued input frames, first in, first out, with a pool of blank ones, so that the steady state allocates
 * nothing.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { InputFrame } from "./input_frame.ts";

const KEEP = 64;
const COMPACT_AFTER = 1024;

/** A queue of frames with a pool. */
export class FrameQueue {
  #frames: InputFrame[] = [];
  #head = 0;
  readonly #blank: InputFrame[] = [];

  /** How many wait. */
  get length(): number {
    return this.#frames.length - this.#head;
  }

  /** A blank frame; it is returned by {@linkcode push} and {@linkcode shift}, then {@linkcode giveBack}. */
  blank(): InputFrame {
    return this.#blank.pop() ?? new InputFrame();
  }

  /** A frame is no longer needed. */
  giveBack(frame: InputFrame): void {
    assert(this.#blank.at(-1) !== frame, "a frame is given back once");
    if (this.#blank.length < KEEP) this.#blank.push(frame);
  }

  /** Appends one. */
  push(frame: InputFrame): void {
    this.#frames.push(frame);
  }

  /** Takes the first; null when there is none. */
  shift(): InputFrame | null {
    const frame = this.#frames[this.#head];
    if (frame === undefined) return null;
    this.#head++;
    if (this.#head === this.#frames.length) {
      this.#frames.length = 0;
      this.#head = 0;
    } else if (this.#head >= COMPACT_AFTER) {
      this.#frames = this.#frames.slice(this.#head);
      this.#head = 0;
    }
    return frame;
  }
}
