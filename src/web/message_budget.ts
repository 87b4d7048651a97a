/**
 * Limits a connection's messages: a burst, and a sustained rate.
 * @module
 */
import { assert } from "../base/assert.ts";

/** Burst of a page's messages. */
export const MOST_AT_ONCE = 100;
const OF_A_PAGE = { atOnce: MOST_AT_ONCE, perSecond: 50 };

/** A budget. */
export class MessageBudget {
  readonly #atOnce: number;
  readonly #perSecond: number;
  #left: number;
  #sinceMs: number;

  /**
   * Starts full.
   *
   * @param nowMs a monotonic clock, ms
   * @param bounds burst and rate per second; by default those of a page
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

  /** Takes one message; false when there is none left. */
  take(nowMs: number): boolean {
    assert(nowMs >= this.#sinceMs, "time goes on");
    this.#left = Math.min(this.#atOnce, this.#left + (nowMs - this.#sinceMs) / 1000 * this.#perSecond);
    this.#sinceMs = nowMs;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
