/**
 * Limits repeated log lines to one per second: the first is written at once, identical ones within a second
 * are counted, and then the line is written again with their number. Lines that differ in any character pass,
 * as do all lines when more different ones come than it remembers. Pure: the time is a parameter.
 * @module
 */
import { assert } from "../base/assert.ts";
import { NEVER, SECOND } from "../base/clock.ts";

/** Number of different lines of the last second that are remembered. */
const MAX_LINES = 32;

/** A line, and how often it was repeated. */
interface Repeats {
  sinceNs: number;
  count: number;
}

/** Remembers the lines of the last second. */
export class RepeatFilter {
  readonly #lines = new Map<string, Repeats>();
  #counted = 0;
  #earliestNs = NEVER;

  /** When {@linkcode sweep} has something to write, ns; NEVER if nothing was counted. */
  get deadlineNs(): number {
    return this.#counted === 0 ? NEVER : this.#earliestNs;
  }

  /**
   * Takes a line; {@linkcode sweep} must be called before.
   *
   * @returns whether to write it now; if not, it is counted
   */
  admits(line: string, nowNs: number): boolean {
    const repeats = this.#lines.get(line);
    if (repeats !== undefined) {
      repeats.count++;
      this.#counted++;
      return false;
    }
    if (this.#lines.size < MAX_LINES) {
      this.#lines.set(line, { sinceNs: nowNs, count: 0 });
      this.#earliestNs = Math.min(this.#earliestNs, nowNs + SECOND);
    }
    return true;
  }

  /** Writes the counts of the seconds that are over; counting continues for a line that keeps coming. */
  sweep(nowNs: number, write: (line: string) => void): void {
    if (nowNs < this.#earliestNs) return;
    this.#earliestNs = NEVER;
    for (const [line, repeats] of this.#lines) {
      if (nowNs - repeats.sinceNs >= SECOND) {
        const { count } = repeats;
        if (count === 0) {
          this.#lines.delete(line);
          continue;
        }
        this.#counted -= count;
        assert(this.#counted >= 0, "a repeated line is counted once");
        repeats.count = 0;
        repeats.sinceNs = nowNs;
        write(`${line} repeated=${count}`);
      }
      this.#earliestNs = Math.min(this.#earliestNs, repeats.sinceNs + SECOND);
    }
  }
}
