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
  #isWorking = false;
  #isEnded = false;

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
    if (this.#isEnded) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#run();
    }, this.#waitMs);
  }

  /** Nothing is begun any more; what is under way goes on to its end. */
  [Symbol.dispose](): void {
    this.#isEnded = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #run(): Promise<void> {
    if (this.#isWorking) return this.later();
    assert(!this.#isEnded, "work that has ended is not begun");
    this.#isWorking = true;
    try {
      await this.#work();
    } finally {
      this.#isWorking = false;
    }
  }
}
