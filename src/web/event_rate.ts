/**
 * The rate of events by source over the last ten seconds, in ten slots of which the oldest is dropped.
 * @module
 */
import { assert } from "../base/assert.ts";

const SLICES = 10;
const SLICE_MS = 1000;

/** The measured rates. */
export interface RateTold {
  /** Events per second, by source. */
  readonly perSecond: Readonly<Record<string, number>>;
  /** Events that this connection has lost since it was made. */
  readonly lost: number;
}

/** A rate. */
export class EventRate {
  readonly #slices: Map<string, number>[] = Array.from({ length: SLICES }, () => new Map());
  readonly #nowMs: () => number;
  readonly #sinceMs: number;
  #slice = 0;
  #lost = 0;

  /** Starts measuring. @param nowMs a monotonic clock, ms */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#sinceMs = nowMs();
  }

  /** Counts an event. @param lost number of events lost before it */
  note(source: string, lost: number): void {
    assert(lost >= 0, "what is lost is counted");
    this.#turn();
    const slice = this.#slices[this.#slice % SLICES] as Map<string, number>;
    slice.set(source, (slice.get(source) ?? 0) + 1);
    this.#lost += lost;
  }

  /** The rate now. */
  told(): RateTold {
    this.#turn();
    const perSecond: Record<string, number> = {};
    const seconds = Math.min(SLICES, this.#slice + 1);
    for (const slice of this.#slices) {
      for (const [source, count] of slice) perSecond[source] = (perSecond[source] ?? 0) + count / seconds;
    }
    return { perSecond, lost: this.#lost };
  }

  /** Drops slots that are too old. */
  #turn(): void {
    const now = Math.floor((this.#nowMs() - this.#sinceMs) / SLICE_MS);
    for (let left = Math.min(SLICES, now - this.#slice); left > 0; left--) {
      this.#slices[(now - left + 1) % SLICES]?.clear();
    }
    this.#slice = Math.max(this.#slice, now);
  }
}
