/**
 * How fast steps may follow each other: a token bucket. Told the time, it says when the next may go.
 * @module
 */
import { assert } from "../../base/assert.ts";

/** A token bucket: `burst` at once, then one each `gapNs`. */
export class Pace {
  readonly #gapNs: number;
  readonly #burstNs: number;
  /** The time at which the bucket is full again. */
  #fullNs = 0;

  /**
   * Starts full.
   *
   * @param gapNs time that one step costs
   * @param burst how many may go at once after a rest, at least 1
   */
  constructor(gapNs: number, burst: number) {
    this.#gapNs = gapNs;
    this.#burstNs = gapNs * (burst - 1);
  }

  /** When the next step may go; not after `nowNs` when it may go now. */
  nextNs(): number {
    return this.#fullNs - this.#burstNs;
  }

  /** A step goes, of `weight` times the usual cost. */
  take(nowNs: number, weight = 1): void {
    assert(weight > 0, "a step costs time");
    this.#fullNs = Math.max(this.#fullNs, nowNs) + weight * this.#gapNs;
  }
}
