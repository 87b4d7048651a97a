/**
 * The same log line again and again, told once per second: the first is written at once, those that follow
 * within a second are counted, and then the line is written again with their number. Lines that differ in
 * anything are different lines and pass; so does every line when more of them are fresh than it remembers.
 * Pure: it is told the time.
 * @module
 */
import { assert } from "../base/assert.ts";
import { NEVER, SECOND } from "../base/clock.ts";

/** Different lines of the last second that are remembered. */
const MAX_LINES = 32;

/** A line, and how often it came again. */
interface Repeats {
  sinceNs: number;
  count: number;
}

/** Remembers the lines of the last second. */
export class RepeatFilter {
  readonly #lines = new Map<string, Repeats>();
  #counted = 0;
  #earliestNs = NEVER;

  /** When {@linkcode sweep} has something to write, ns; NEVER when nothing was counted. */
  get deadlineNs(): number {
    return this.#counted === 0 ? NEVER : this.#earliestNs;
  }

  /**
   * Takes a line; {@linkcode sweep} is called before.
   *
   * @returns whether it is to be written now; if not it is counted
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

  /** Writes what was counted in the seconds that are over by then; a line that goes on is counted on. */
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
