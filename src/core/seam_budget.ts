/**
 * How many events a seam may send without being asked: a token bucket. Whatever asks for events pays for them
 * (an answered command brings a few tokens), so that a VM which is steered fast is told whole; only what
 * comes unasked for, in numbers that no sane machine has, is too much.
 *
 * Beside its own budget a seam shares one with all others: fifteen VMs that each stay within their own would
 * fill the queue of a control that reads all the time. A few events a seam has for itself, whatever the
 * others do. Pure: it is told the time.
 * @module
 */
import { assert } from "../base/assert.ts";
import { SECOND } from "../base/clock.ts";
import { DEFAULT_QUEUE_EVENTS, MAX_ENDPOINTS } from "../base/limits.ts";

/** Events in one burst of one seam. */
export const SEAM_BURST = 320;
/** Events per second for good: states of a VM change by the second, not by the millisecond. */
const SEAM_EVENTS_A_SECOND = 64;
/** Events of a burst that a seam has for itself. */
export const SEAM_OWN = 8;
/** Events in one burst of all seams together, beyond what each has for itself. */
export const HOUSE_BURST = 384;
/** The same a second for good. */
const HOUSE_EVENTS_A_SECOND = 1024;
/** Tokens that an answered command brings: a reset of a suspended machine is told by three events. */
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

  /** How many are there, at a time. */
  at(nowNs: number): number {
    this.#tokens = Math.min(this.#burst, this.#tokens + Math.max(0, nowNs - this.#filledNs) * this.#perNs);
    this.#filledNs = nowNs;
    return this.#tokens;
  }

  /** Adds some, up to the burst, or takes some away. */
  add(tokens: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + tokens);
    assert(this.#tokens >= 0, "a bucket gives no more than it has");
  }
}

/** What all seams of a bus share. */
export class HouseBudget {
  readonly #bucket = new Bucket(HOUSE_BURST, HOUSE_EVENTS_A_SECOND);

  /** Takes a token. False: there is none. */
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

  /** Takes a token. False: there is none, or others have used up what all share. */
  take(nowNs: number): boolean {
    const tokens = this.#bucket.at(nowNs);
    if (tokens < 1) return false;
    if (tokens <= SEAM_BURST - SEAM_OWN && !this.#house.take(nowNs)) return false;
    this.#bucket.add(-1);
    return true;
  }

  /** A command was answered: what it did may be told. */
  earn(): void {
    this.#bucket.add(TOKENS_A_COMMAND);
  }

  /** Whether nothing was told for so long that all tokens are there again. */
  isFull(nowNs: number): boolean {
    return this.#bucket.at(nowNs) >= SEAM_BURST;
  }
}
