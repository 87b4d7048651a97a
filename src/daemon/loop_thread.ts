/**
 * The loop's thread, as seen from the main thread: it is started first, because loading its modules takes
 * half of the daemon's start, and the main thread loads its own modules and the config in the meantime. It
 * does nothing until it gets its plan.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { LoopPlan, LoopReport } from "./plan.ts";

/** The Worker that runs the loop. */
export class LoopThread implements Disposable {
  readonly #worker = new Worker(new URL("./loop_worker.ts", import.meta.url), { type: "module" });
  #failure: string | undefined;
  #onFailure: ((message: string) => void) | undefined;

  /** Starts it. */
  constructor() {
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#failure = event.message;
      this.#onFailure?.(event.message);
    };
  }

  /**
   * Sends it its plan, and receives its reports from now on.
   *
   * @param onFailure called when the thread has failed, also if it failed before this call
   */
  run(plan: LoopPlan, onReport: (report: LoopReport) => void, onFailure: (message: string) => void): void {
    assert(this.#onFailure === undefined, "the loop's thread gets one plan");
    this.#onFailure = onFailure;
    if (this.#failure !== undefined) return onFailure(this.#failure);
    this.#worker.onmessage = ({ data }: MessageEvent<LoopReport>) => onReport(data);
    this.#worker.postMessage(plan);
  }

  /** Terminates it. */
  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
