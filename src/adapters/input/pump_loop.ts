/**
 * A loop that takes one step after another until none can go. What a step does may be answered at once and
 * start the loop again: then the loop that runs already does it all.
 * @module
 */

/** A driver's loop of steps. */
export class PumpLoop {
  readonly #next: () => boolean;
  #isRunning = false;

  /**
   * Rests until it is run.
   *
   * @param next takes one step further; false when nothing can go now
   */
  constructor(next: () => boolean) {
    this.#next = next;
  }

  /** Takes all steps that can go now; from within a step it does nothing. */
  run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      while (this.#next());
    } finally {
      this.#isRunning = false;
    }
  }
}
