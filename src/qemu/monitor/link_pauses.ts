/**
 * How long a link waits before it reconnects. Pure: the duration of the last connection is a parameter.
 * @module
 */
import { MS, SECOND } from "../../base/clock.ts";

const PAUSE_FIRST_NS = 50 * MS;
const PAUSE_LONGEST_NS = SECOND;
/** A monitor that another client uses is tried rarely, because each attempt disturbs it. */
const REFUSED_FIRST_NS = SECOND;
const REFUSED_LONGEST_NS = 60 * SECOND;
/** After a connection that lasted this long, the pauses start again, ns. */
const STEADY_NS = 2 * SECOND;
/** Pauses after a flood of events, doubled each time, until a connection has lasted for the longest one. */
const FLOOD_PAUSE_FIRST_NS = SECOND;
const FLOOD_PAUSE_LONGEST_NS = 60 * SECOND;

/** The pauses of one link. */
export class LinkPauses {
  #nextNs = PAUSE_FIRST_NS;
  #nextFloodNs = FLOOD_PAUSE_FIRST_NS;

  /**
   * The pause after a loss.
   *
   * @param upForNs duration of the connection, ns; 0 if there was none
   * @param isFlood whether it was lost because QEMU sent too many events
   */
  afterLoss(upForNs: number, isFlood: boolean): number {
    // A long pause for another client's monitor does not apply to ours.
    this.#nextNs = upForNs >= STEADY_NS ? PAUSE_FIRST_NS : Math.min(this.#nextNs, PAUSE_LONGEST_NS);
    if (upForNs >= FLOOD_PAUSE_LONGEST_NS) this.#nextFloodNs = FLOOD_PAUSE_FIRST_NS;
    if (isFlood) {
      this.#nextNs = this.#nextFloodNs;
      this.#nextFloodNs = Math.min(2 * this.#nextFloodNs, FLOOD_PAUSE_LONGEST_NS);
    }
    return this.#take(PAUSE_LONGEST_NS);
  }

  /** The pause after another process was found listening. */
  afterRefusal(): number {
    this.#nextNs = Math.max(this.#nextNs, REFUSED_FIRST_NS);
    return this.#take(REFUSED_LONGEST_NS);
  }

  /** The link has no users left: the pauses start again. */
  reset(): void {
    this.#nextNs = PAUSE_FIRST_NS;
  }

  #take(longestNs: number): number {
    const pauseNs = this.#nextNs;
    this.#nextNs = Math.min(2 * pauseNs, longestNs);
    return pauseNs;
  }
}
