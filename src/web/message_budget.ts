/**
 * How much one connection may say: so many messages at once, and so many more per second.
 * @module
 */
import { assert } from "../base/assert.ts";

/** Messages at once. */
export const MOST_AT_ONCE = 100;
const PER_SECOND = 50;

/** A budget. */
export class MessageBudget {
  #left = MOST_AT_ONCE;
  #sinceMs: number;

  /** A full one. @param nowMs a clock that does not jump */
  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** Takes one message out; false when there is none. */
  take(nowMs: number): boolean {
    assert(nowMs >= this.#sinceMs, "time goes on");
    this.#left = Math.min(MOST_AT_ONCE, this.#left + (nowMs - this.#sinceMs) / 1000 * PER_SECOND);
    this.#sinceMs = nowMs;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
