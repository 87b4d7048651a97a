/**
 * Notices that standard output's reader is gone, even while there is nothing to print: `vmsig watch | head
 * -1` ends when head does, and not at the next event.
 *
 * The kernel reports the closed end of a pipe or socket as POLLERR or POLLHUP, whichever events are
 * requested. It is polled a few times per second, because a blocking wait on one of Deno's threads could not
 * be cancelled at the end, and would keep the process alive.
 * @module
 */
import { ERR, HUP, pollNow } from "../../../ffi/poller.ts";
import { OutputClosed } from "./output.ts";

const STDOUT = 1;
const PERIOD_MS = 100;

/** Watches until it is disposed of. */
export class ReaderWatch implements Disposable {
  readonly #aborter = new AbortController();
  readonly #timer: ReturnType<typeof setInterval>;

  /** Begins to watch. For a terminal or a file, nothing ever happens. */
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
