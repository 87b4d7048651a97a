/**
 * Work that many changes call for: done once, a while after the first of them, and never twice at a time.
 * @module
 */
import { assert } from "../base/assert.ts";

/** Such work. */
export class Gathering implements Disposable {
  readonly #waitMs: number;
  readonly #work: () => Promise<void>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #state: "resting" | "working" | "ended" = "resting";

  /**
   * Does nothing yet.
   *
   * @param waitMs how long to gather changes, ms
   * @param work what is done then; what it throws is nobody's to catch
   */
  constructor(waitMs: number, work: () => Promise<void>) {
    this.#waitMs = waitMs;
    this.#work = work;
  }

  /** Something has changed. */
  later(): void {
    if (this.#state === "ended") return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#run();
    }, this.#waitMs);
  }

  /** Nothing is begun any more; what is under way goes on to its end. */
  [Symbol.dispose](): void {
    this.#state = "ended";
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #run(): Promise<void> {
    if (this.#state === "working") return this.later();
    assert(this.#state === "resting", "work that has ended is not begun");
    this.#state = "working";
    try {
      await this.#work();
    } finally {
      if (!this.#hasEnded()) this.#state = "resting";
    }
  }

  #hasEnded(): boolean {
    return this.#state === "ended";
  }
}
