/**
 * Limits the loop's time for one monitor's output: a slice per turn, and a share in the long run. The rest
 * stays in the socket and in QEMU, in QEMU's own memory. A healthy monitor is never affected: a reply of a
 * megabyte takes a few milliseconds once. Pure: the time is a parameter.
 * @module
 */
import { MS } from "../../base/clock.ts";

/** Reading time per turn, ns; a read that has begun is processed completely. */
const SLICE_NS = 1 * MS;
/** Share of the loop's time in the long run. */
const SHARE = 0.1;
/** Reading time available after a quiet period, ns. */
const BURST_NS = 20 * MS;
/** Pause when the budget is used up, ns. */
const PAUSE_NS = 20 * MS;

/** The budget of one connection. */
export class ReadingBudget {
  #leftNs = BURST_NS;
  #filledNs = 0;
  #startNs = 0;

  /** Reading starts. */
  begin(nowNs: number): void {
    this.#leftNs = Math.min(BURST_NS, this.#leftNs + SHARE * Math.max(0, nowNs - this.#filledNs));
    this.#filledNs = this.#startNs = nowNs;
  }

  /** A read was processed. True: no more in this turn. */
  isSliceOver(nowNs: number): boolean {
    return nowNs - this.#startNs >= SLICE_NS;
  }

  /** Reading ends for this turn; returns when it may continue, ns; 0 = in the next turn. */
  end(nowNs: number): number {
    this.#leftNs -= nowNs - this.#startNs;
    return this.#leftNs > 0 ? 0 : nowNs + PAUSE_NS;
  }
}
