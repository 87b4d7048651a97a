/**
 * A loop that takes one step after another until none can be taken. A step may be answered at once and start
 * the loop again: then the running loop continues.
 * @module
 */

/** A driver's loop of steps. */
export class PumpLoop {
  readonly #next: () => boolean;
  #isRunning = false;

  /**
   * Idle until it is run.
   *
   * @param next takes one step; false if none can be taken now
   */
  constructor(next: () => boolean) {
    this.#next = next;
  }

  /** Takes all steps that are possible now; does nothing when called from within a step. */
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
