/**
 * How often to look at a producer: several times a frame while frames come, seldom while none do. A look
 * costs a few microseconds and a wake-up some tens, so an idle guest costs a fraction of a percent of a core,
 * and a busy one's frame is seen within a part of its interval.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { MS, SECOND } from "../../base/clock.ts";

/** Shortest period. */
const MIN_NS = 2 * MS;
/** Longest period: also what a ring's heartbeat and a cursor can live with. */
const MAX_NS = 40 * MS;
/** Looks a frame. */
const LOOKS = 4;
/** Nothing new for so long is idle. */
const IDLE_NS = 2 * SECOND;

/** The period of one producer's looks. */
export class PollPace {
  #intervalNs = 0;
  #lastFrameNs = -Infinity;
  #lastChangeNs = -Infinity;

  /** A new frame was seen. */
  onFrame(nowNs: number): void {
    assert(nowNs >= this.#lastFrameNs, "time does not go back");
    const intervalNs = nowNs - this.#lastFrameNs;
    if (this.#intervalNs === 0 || intervalNs > IDLE_NS) {
      this.#intervalNs = Math.min(intervalNs, MAX_NS * LOOKS);
    } else {
      // Quick to follow a faster producer, slow to believe that one has slowed down.
      this.#intervalNs += (intervalNs - this.#intervalNs) / (intervalNs < this.#intervalNs ? 2 : 8);
    }
    this.#lastFrameNs = nowNs;
    this.#lastChangeNs = nowNs;
  }

  /** Something else changed: the cursor, the state. */
  onChange(nowNs: number): void {
    this.#lastChangeNs = nowNs;
  }

  /** Time until the next look. */
  periodNs(nowNs: number): number {
    if (nowNs - this.#lastChangeNs > IDLE_NS) return MAX_NS;
    if (nowNs - this.#lastFrameNs > IDLE_NS) return MAX_NS / 2;
    return Math.min(MAX_NS, Math.max(MIN_NS, this.#intervalNs / LOOKS));
  }
}
