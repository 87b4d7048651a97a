/**
 * Shows progress in one line on standard error that is overwritten, on a terminal only.
 * @module
 */
import type { Call } from "./command.ts";

const PAUSE_MS = 200;

/** The line. */
export class ProgressLine implements Disposable {
  readonly #isShown: boolean;
  #lastMs = 0;
  #wasShown = false;

  /** Shows nothing under `--json`. */
  constructor({ json }: Pick<Call, "json">) {
    this.#isShown = !json && Deno.stderr.isTerminal();
  }

  /** Shows the progress, at most five times per second; `text` is called when it is shown, and escaped. */
  show(text: () => string): void {
    const nowMs = performance.now();
    if (!this.#isShown || nowMs - this.#lastMs < PAUSE_MS) return;
    this.#lastMs = nowMs;
    this.#wasShown = true;
    write(`\r${text()}\x1b[K`);
  }

  /** Clears the line. */
  [Symbol.dispose](): void {
    if (this.#wasShown) write("\r\x1b[K");
  }
}

function write(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}
