/**
 * Limits the rate of steps with a token bucket. The time is a parameter.
 * @module
 */
import { assert } from "../../base/assert.ts";

/** A token bucket: `burst` at once, then one each `gapNs`. */
export class Pace {
  readonly #gapNs: number;
  readonly #burstNs: number;
  /** The time at which the bucket will be full. */
  #fullNs = 0;

  /**
   * Starts full.
   *
   * @param gapNs cost of one step, ns
   * @param burst steps that may follow at once after a pause, at least 1
   */
  constructor(gapNs: number, burst: number) {
    this.#gapNs = gapNs;
    this.#burstNs = gapNs * (burst - 1);
  }

  /** When the next step may be sent; at most `nowNs` if that is now. */
  nextNs(): number {
    return this.#fullNs - this.#burstNs;
  }

  /** A step is sent, with `weight` times the usual cost. */
  take(nowNs: number, weight = 1): void {
    assert(weight > 0, "a step costs time");
    this.#fullNs = Math.max(this.#fullNs, nowNs) + weight * this.#gapNs;
  }
}
