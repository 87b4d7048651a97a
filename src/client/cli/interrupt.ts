/**
 * Ctrl-C and SIGTERM: the first aborts the command's signal, so that it releases what it owns and ends; the
 * second ends the process at once.
 * @module
 */
import { Fault } from "../../base/fault.ts";

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;
const SIGNALS = Object.keys(EXIT_CODES) as (keyof typeof EXIT_CODES)[];

/** Listens until it is disposed of. */
export class Interrupt implements Disposable {
  readonly #aborter = new AbortController();
  readonly #listeners: (readonly [keyof typeof EXIT_CODES, () => void])[] = [];
  #exitCode: number | undefined;

  /** Begins to listen. */
  constructor() {
    for (const name of SIGNALS) {
      const listener = () => this.#onSignal(EXIT_CODES[name]);
      Deno.addSignalListener(name, listener);
      this.#listeners.push([name, listener]);
    }
  }

  /** Aborted by the first signal. */
  get signal(): AbortSignal {
    return this.#aborter.signal;
  }

  /** How the process is to end; undefined if no signal came. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** Stops listening. */
  [Symbol.dispose](): void {
    for (const [name, listener] of this.#listeners.splice(0)) Deno.removeSignalListener(name, listener);
  }

  #onSignal(code: number): void {
    if (this.#exitCode !== undefined) Deno.exit(code);
    this.#exitCode = code;
    this.#aborter.abort(new Fault("interrupted", "Cannot go on: interrupted"));
  }
}
