/**
 * How fast a model may call: a bucket of calls that fills again, and few calls at once. What is above it is
 * refused with the time to wait; nothing is queued.
 * @module
 */
import { assert } from "../base/assert.ts";

/** Calls per second in the long run. */
export const CALLS_PER_SECOND = 10;
/** Calls that may come at once after a pause. */
export const BURST = 40;
/** Calls under way at once. */
export const MOST_AT_ONCE = 8;

/** Why a call is not made. */
export interface TooFast {
  /** What a model is told. */
  readonly why: string;
}

/** The calls of one session. */
export class CallRate {
  readonly #now: () => number;
  #left = BURST;
  #atMs: number;
  #running = 0;

  /** Full at first. @param now a clock, ms */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#atMs = now();
  }

  /** Begins a call, which {@linkcode end} ends; or says why it is refused. */
  begin(): TooFast | undefined {
    const nowMs = this.#now();
    this.#left = Math.min(BURST, this.#left + (nowMs - this.#atMs) * CALLS_PER_SECOND / 1000);
    this.#atMs = nowMs;
    if (this.#running >= MOST_AT_ONCE) {
      return { why: `${this.#running} calls are under way; await one of their results first` };
    }
    if (this.#left < 1) {
      const waitMs = Math.ceil((1 - this.#left) * 1000 / CALLS_PER_SECOND);
      return {
        why: `more than ${CALLS_PER_SECOND} calls per second; the next one is taken in ${waitMs} ms. ` +
          "If you repeat the same step, look at a screenshot first, or use the tool wait",
      };
    }
    this.#left--;
    this.#running++;
    return undefined;
  }

  /** A call has ended. */
  end(): void {
    assert(this.#running > 0, "a call ends that has begun");
    this.#running--;
  }
}
