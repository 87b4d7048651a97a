/**
 * How much of the loop's time one monitor may take for what it sends: a slice a turn, and a share for good.
 * What is beyond stays in the socket, and in QEMU, whose memory it is. A sane monitor never notices: a reply
 * of a megabyte takes some milliseconds, once. Pure: it is told the time.
 * @module
 */
import { MS } from "../../base/clock.ts";

/** Reading of one turn, ns; the read that has begun is taken whole. */
const SLICE_NS = 1 * MS;
/** The share of the loop's time for good. */
const SHARE = 0.1;
/** Reading at once after some quiet, ns. */
const BURST_NS = 20 * MS;
/** How long the reading waits when the budget is used up, ns. */
const PAUSE_NS = 20 * MS;

/** The budget of one connection. */
export class ReadingBudget {
  #leftNs = BURST_NS;
  #filledNs = 0;
  #startNs = 0;

  /** Reading begins. */
  begin(nowNs: number): void {
    this.#leftNs = Math.min(BURST_NS, this.#leftNs + SHARE * Math.max(0, nowNs - this.#filledNs));
    this.#filledNs = this.#startNs = nowNs;
  }

  /** A read was taken. True: no more in this turn. */
  isSliceOver(nowNs: number): boolean {
    return nowNs - this.#startNs >= SLICE_NS;
  }

  /** Reading ends for this turn: when it may go on, ns; 0 = in the next turn. */
  end(nowNs: number): number {
    this.#leftNs -= nowNs - this.#startNs;
    return this.#leftNs > 0 ? 0 : nowNs + PAUSE_NS;
  }
}
