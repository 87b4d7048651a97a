/**
 * How much one connection may say: so many messages at once, and so many more per second.
 * @module
 */
import { assert } from "../base/assert.ts";

/** Messages of a page at once. */
export const MOST_AT_ONCE = 100;
const OF_A_PAGE = { atOnce: MOST_AT_ONCE, perSecond: 50 };

/** A budget. */
export class MessageBudget {
  readonly #atOnce: number;
  readonly #perSecond: number;
  #left: number;
  #sinceMs: number;

  /**
   * A full one.
   *
   * @param nowMs a clock that does not jump
   * @param bounds how much at once, and how much more per second; a page's messages unless told
   */
  constructor(
    nowMs: number,
    { atOnce, perSecond }: { readonly atOnce: number; readonly perSecond: number } = OF_A_PAGE,
  ) {
    this.#sinceMs = nowMs;
    this.#atOnce = atOnce;
    this.#perSecond = perSecond;
    this.#left = atOnce;
  }

  /** Takes one message out; false when there is none. */
  take(nowMs: number): boolean {
    assert(nowMs >= this.#sinceMs, "time goes on");
    this.#left = Math.min(this.#atOnce, this.#left + (nowMs - this.#sinceMs) / 1000 * this.#perSecond);
    this.#sinceMs = nowMs;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
