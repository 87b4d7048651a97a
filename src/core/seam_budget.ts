/**
 * How many events a seam may tell of its own accord: a token bucket. Whatever asks for events pays for them (an answered command brings a few tokens), so that a VM which is
 * steered fast is told whole; only what comes unasked for, in numbers that no sane machine has, is too much. Pure: it is told the time.
 * @module
 */
import { SECOND } from "../base/clock.ts";

/** Events in one burst. */
export const SEAM_BURST = 320;
/** Events a second for good: states of a VM change by the second, not by the millisecond. */
export const SEAM_EVENTS_A_SECOND = 64;
/** Tokens that an answered command brings: a reset of a suspended machine is told by three events. */
const TOKENS_A_COMMAND = 4;

/** The budget of one seam. */
export class SeamBudget {
  #tokens = SEAM_BURST;
  #filledNs = 0;

  /** Takes a token. False: there is none. */
  take(nowNs: number): boolean {
    this.#fill(nowNs);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** A command was answered: what it did may be told. */
  earn(): void {
    this.#tokens = Math.min(SEAM_BURST, this.#tokens + TOKENS_A_COMMAND);
  }

  /** Whether nothing was told for so long that all tokens are there again. */
  isFull(nowNs: number): boolean {
    this.#fill(nowNs);
    return this.#tokens >= SEAM_BURST;
  }

  #fill(nowNs: number): void {
    const earned = Math.max(0, nowNs - this.#filledNs) * (SEAM_EVENTS_A_SECOND / SECOND);
    this.#tokens = Math.min(SEAM_BURST, this.#tokens + earned);
    this.#filledNs = nowNs;
  }
}
