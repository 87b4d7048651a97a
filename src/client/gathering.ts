/**
 * Work that follows a series of changes: it runs once, some time after the first of them, and never twice at
 * the same time.
 * @module
 */
import { assert } from "../base/assert.ts";

/** Debounced work. */
export class Gathering implements Disposable {
  readonly #waitMs: number;
  readonly #work: () => Promise<void>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #state: "resting" | "working" | "ended" = "resting";

  /**
   * Starts idle.
   *
   * @param waitMs how long to collect changes, ms
   * @param work the work; it must not throw
   */
  constructor(waitMs: number, work: () => Promise<void>) {
    this.#waitMs = waitMs;
    this.#work = work;
  }

  /** Reports a change. */
  later(): void {
    if (this.#state === "ended") return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#run();
    }, this.#waitMs);
  }

  /** Starts no further work; work that is running continues to its end. */
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
