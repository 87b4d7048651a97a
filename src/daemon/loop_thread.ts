/**
 * The loop's thread, from the main thread's side: started before anything else, because it takes half of the
 * daemon's start to load what runs there, and the main thread has its own modules and the config to read
 * meanwhile. It does nothing until it gets its plan.
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
   * Gives it its plan, and from now on takes its reports.
   *
   * @param onFailure told when the thread has failed, or failed before this was called
   */
  run(plan: LoopPlan, onReport: (report: LoopReport) => void, onFailure: (message: string) => void): void {
    assert(this.#onFailure === undefined, "the loop's thread gets one plan");
    this.#onFailure = onFailure;
    if (this.#failure !== undefined) return onFailure(this.#failure);
    this.#worker.onmessage = ({ data }: MessageEvent<LoopReport>) => onReport(data);
    this.#worker.postMessage(plan);
  }

  /** Ends it, whatever it does. */
  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
