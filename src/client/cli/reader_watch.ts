/**
 * Notices that nobody reads standard output any more, also while there is nothing to print: `vmsig watch |
 * head -1` ends when head does, not with the next event.
 *
 * The kernel tells an end of a pipe or a socket by ERR or HUP, whatever is asked for. It is asked a few times
 * a second: a wait for it on a thread of Deno's could not be taken back at the end, and would keep the
 * process.
 * @module
 */
import { ERR, HUP, pollNow } from "../../../ffi/poller.ts";
import { OutputClosed } from "./output.ts";

const STDOUT = 1;
const PERIOD_MS = 100;

/** Watches while it is not disposed of. */
export class ReaderWatch implements Disposable {
  readonly #aborter = new AbortController();
  readonly #timer: ReturnType<typeof setInterval>;

  /** Begins to watch. A terminal and a file have no reader that could go: for them nothing ever happens. */
  constructor() {
    this.#timer = setInterval(() => this.#look(), PERIOD_MS);
    Deno.unrefTimer(this.#timer);
  }

  /** Aborted, with {@linkcode OutputClosed} as its reason, when the reader is gone. */
  get signal(): AbortSignal {
    return this.#aborter.signal;
  }

  /** Stops watching. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    if ((pollNow(STDOUT, 0) & (ERR | HUP)) === 0) return;
    clearInterval(this.#timer);
    this.#aborter.abort(new OutputClosed());
  }
}
