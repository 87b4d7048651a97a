/**
 * How long a link waits before it connects again. Pure: it is told how long the last connection was up.
 * @module
 */
import { MS, SECOND } from "../../base/clock.ts";

const PAUSE_FIRST_NS = 50 * MS;
const PAUSE_LONGEST_NS = SECOND;
/** To a monitor of somebody else's we come back seldom: each time disturbs it. */
const REFUSED_FIRST_NS = SECOND;
const REFUSED_LONGEST_NS = 60 * SECOND;
/** A connection that was up this long starts the pauses afresh. */
const STEADY_NS = 2 * SECOND;
/** Pauses after a flood of events, doubled each time, until it was up for the longest one. */
const FLOOD_PAUSE_FIRST_NS = SECOND;
const FLOOD_PAUSE_LONGEST_NS = 60 * SECOND;

/** The pauses of one link. */
export class LinkPauses {
  #nextNs = PAUSE_FIRST_NS;
  #nextFloodNs = FLOOD_PAUSE_FIRST_NS;

  /**
   * The pause after a loss.
   *
   * @param upForNs how long it was up; 0 when it never was
   * @param isFlood it was lost because QEMU sent more events than can be meant
   */
  afterLoss(upForNs: number, isFlood: boolean): number {
    // What a pause for somebody else's monitor has grown to does not count for ours.
    this.#nextNs = upForNs >= STEADY_NS ? PAUSE_FIRST_NS : Math.min(this.#nextNs, PAUSE_LONGEST_NS);
    if (upForNs >= FLOOD_PAUSE_LONGEST_NS) this.#nextFloodNs = FLOOD_PAUSE_FIRST_NS;
    if (isFlood) {
      this.#nextNs = this.#nextFloodNs;
      this.#nextFloodNs = Math.min(2 * this.#nextFloodNs, FLOOD_PAUSE_LONGEST_NS);
    }
    return this.#take(PAUSE_LONGEST_NS);
  }

  /** The pause after somebody else was found to listen. */
  afterRefusal(): number {
    this.#nextNs = Math.max(this.#nextNs, REFUSED_FIRST_NS);
    return this.#take(REFUSED_LONGEST_NS);
  }

  /** Nobody wants the link any more: whoever comes next begins afresh. */
  reset(): void {
    this.#nextNs = PAUSE_FIRST_NS;
  }

  #take(longestNs: number): number {
    const pauseNs = this.#nextNs;
    this.#nextNs = Math.min(2 * pauseNs, longestNs);
    return pauseNs;
  }
}
