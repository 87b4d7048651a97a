/**
 * How long a wait looks before it sleeps. A sleep and its wake-up cost microseconds, a look nanoseconds:
 * where answers come at once, looking for a moment is cheaper for both ends, and faster.
 *
 * In fast-receive mode the answer is the user's: always, for the time he set. Otherwise it is learnt, as KVM
 * learns its halt polling: after several sleeps in a row that ended almost at once, waits look first, and go
 * on doing so while that finds something. Looks that find nothing (the other end shares our core, or is slow)
 * end it, and each time it takes twice as many short sleeps to try again. A channel that is idle or slow
 * never spins.
 * @module
 */

/** A sleep that ended within this time would have been better spent looking. */
export const SHORT_SLEEP_NS = 60_000;
/** How long a learnt look lasts. */
export const LEARNT_SPIN_NS = 50_000;
/** How long a wait looks when fast receive is on, unless told otherwise. */
export const DEFAULT_SPIN_NS = 50_000;
/** How long a wait looks when the other end says that it is in the middle of a batch. */
const BATCH_SPIN_NS = 5_000;
const FIRST_TRIES_AFTER = 16;
const LAST_TRIES_AFTER = 16_384;
/**
 * Misses in a row that end it: 2.5 ms in all, time for the kernel to move one of two ends that share a core
 * to a free one.
 */
export const MISSES_TO_STOP = 50;

/** What a channel has learnt about its waits. */
export class SpinPolicy {
  /** Whether fast receive is on. */
  fast = false;
  readonly #fastSpinNs: number;
  readonly #learns: boolean;
  #shortSleeps = 0;
  #triesAfter = FIRST_TRIES_AFTER;
  #misses = 0;
  #learnt = false;

  /**
   * Starts knowing nothing.
   *
   * @param fastSpinNs how long to look in fast-receive mode
   * @param learns false: outside of fast-receive mode it never looks
   */
  constructor(fastSpinNs: number, learns: boolean) {
    this.#fastSpinNs = fastSpinNs;
    this.#learns = learns;
  }

  /**
   * How long the next wait is to look, ns; 0 not at all.
   *
   * @param producing whether the other end says that it composes a batch
   */
  budgetNs(producing: boolean): number {
    if (this.fast) return this.#fastSpinNs;
    if (this.#learnt) return LEARNT_SPIN_NS;
    return producing && this.#learns ? BATCH_SPIN_NS : 0;
  }

  /** A look has found what was waited for. */
  hit(): void {
    this.#misses = 0;
    this.#triesAfter = FIRST_TRIES_AFTER;
  }

  /** A look has found nothing, and the wait goes to sleep. */
  miss(): void {
    if (!this.#learnt || ++this.#misses < MISSES_TO_STOP) return;
    this.#learnt = false;
    this.#misses = 0;
    this.#shortSleeps = 0;
    this.#triesAfter = Math.min(this.#triesAfter * 2, LAST_TRIES_AFTER);
  }

  /** A sleep has ended with what was waited for. */
  slept(ns: number): void {
    if (ns > SHORT_SLEEP_NS) this.#shortSleeps = 0;
    else if (++this.#shortSleeps >= this.#triesAfter && this.#learns) this.#learnt = true;
  }
}
