/**
 * Limits the unsolicited events of a seam with a token bucket. Each answered command adds a few tokens, so
 * that all events of a VM that is controlled at a high rate get through; only unsolicited events in numbers
 * that no healthy machine produces exceed the budget.
 *
 * Besides its own budget, a seam shares one with all others: fifteen VMs that each stay within their own
 * could otherwise fill the queue of a control that reads all the time. A few events are reserved for each
 * seam, whatever the others do. Pure: the time is a parameter.
 * @module
 */
import { assert } from "../base/assert.ts";
import { SECOND } from "../base/clock.ts";
import { DEFAULT_QUEUE_EVENTS, MAX_ENDPOINTS } from "../base/limits.ts";

/** Burst of one seam, events. */
export const SEAM_BURST = 320;
/**
 * Sustained rate of one seam, events per second: a VM's state changes by the second, not by the millisecond.
 */
const SEAM_EVENTS_A_SECOND = 64;
/** Part of a burst that is reserved for the seam. */
export const SEAM_OWN = 8;
/** Burst of all seams together, beyond the reserved parts, events. */
export const HOUSE_BURST = 384;
/** Sustained rate of all seams together, events per second. */
const HOUSE_EVENTS_A_SECOND = 1024;
/** Tokens that an answered command adds: a reset of a suspended machine causes three events. */
const TOKENS_A_COMMAND = 4;

assert(
  MAX_ENDPOINTS * SEAM_OWN + HOUSE_BURST < DEFAULT_QUEUE_EVENTS,
  "no number of VMs fills the queue of a control in one burst",
);

/** A bucket of tokens. */
class Bucket {
  readonly #burst: number;
  readonly #perNs: number;
  #tokens: number;
  #filledNs = 0;

  /** Starts full. */
  constructor(burst: number, aSecond: number) {
    this.#burst = this.#tokens = burst;
    this.#perNs = aSecond / SECOND;
  }

  /** Number of tokens at a time. */
  at(nowNs: number): number {
    this.#tokens = Math.min(this.#burst, this.#tokens + Math.max(0, nowNs - this.#filledNs) * this.#perNs);
    this.#filledNs = nowNs;
    return this.#tokens;
  }

  /** Adds tokens, up to the burst, or removes some. */
  add(tokens: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + tokens);
    assert(this.#tokens >= 0, "a bucket gives no more than it has");
  }
}

/** The budget shared by all seams of a bus. */
export class HouseBudget {
  readonly #bucket = new Bucket(HOUSE_BURST, HOUSE_EVENTS_A_SECOND);

  /** Takes a token. False: there is none left. */
  take(nowNs: number): boolean {
    if (this.#bucket.at(nowNs) < 1) return false;
    this.#bucket.add(-1);
    return true;
  }
}

/** The budget of one seam. */
export class SeamBudget {
  readonly #house: HouseBudget;
  readonly #bucket = new Bucket(SEAM_BURST, SEAM_EVENTS_A_SECOND);

  /** Starts full. */
  constructor(house: HouseBudget) {
    this.#house = house;
  }

  /** Takes a token. False: there is none left, or the shared budget is used up. */
  take(nowNs: number): boolean {
    const tokens = this.#bucket.at(nowNs);
    if (tokens < 1) return false;
    if (tokens <= SEAM_BURST - SEAM_OWN && !this.#house.take(nowNs)) return false;
    this.#bucket.add(-1);
    return true;
  }

  /** Adds tokens for an answered command, whose effects may be reported. */
  earn(): void {
    this.#bucket.add(TOKENS_A_COMMAND);
  }

  /** Whether all tokens are available again. */
  isFull(nowNs: number): boolean {
    return this.#bucket.at(nowNs) >= SEAM_BURST;
  }
}
