/**
 * A part of a thread whose modules are loaded when it is first needed: the start is not delayed by code that
 * only VMs need, and a daemon without VMs never loads it. Calls are carried out in order; those made while it
 * is being loaded wait.
 * @module
 */
import { assert } from "../base/assert.ts";
import { messageOf } from "../base/fault.ts";

/** The state of a part. */
type State<T> =
  | { readonly name: "absent" }
  | { readonly name: "loading"; readonly calls: ((part: T) => void)[]; readonly done: Promise<void> }
  | { readonly name: "there"; readonly part: T }
  | { readonly name: "ended" };

/** A lazily loaded part; if it is disposable, it is disposed of at the end. */
export class LatePart<T extends object> implements Disposable {
  readonly #load: () => Promise<T>;
  readonly #onFailure: (message: string) => void;
  #state: State<T> = { name: "absent" };

  /**
   * Loads nothing yet.
   *
   * @param load loads its modules and makes it
   * @param onFailure called when loading or a waiting call failed
   */
  constructor(load: () => Promise<T>, onFailure: (message: string) => void) {
    this.#load = load;
    this.#onFailure = onFailure;
  }

  /** The part, if it is loaded. */
  get present(): T | undefined {
    return this.#state.name === "there" ? this.#state.part : undefined;
  }

  /** Whether it has never been needed. */
  get isAbsent(): boolean {
    return this.#state.name === "absent";
  }

  /**
   * While it is being loaded: resolves when it is loaded and has carried out the waiting calls, or has
   * failed.
   */
  get loading(): Promise<void> | undefined {
    return this.#state.name === "loading" ? this.#state.done : undefined;
  }

  /** Calls the part, now or once it is loaded; does nothing when it has ended. */
  do(call: (part: T) => void): void {
    const state = this.#state;
    if (state.name === "there") call(state.part);
    else if (state.name === "loading") state.calls.push(call);
    else if (state.name === "absent") {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#state = { name: "loading", calls: [call], done: promise };
      this.#begin().catch((error) => this.#failed(error)).finally(resolve);
    }
  }

  /** Ends the part, which is then not loaded any more. */
  [Symbol.dispose](): void {
    const { present } = this;
    this.#state = { name: "ended" };
    if (present !== undefined) putAway(present);
  }

  #failed(error: unknown): void {
    // A loaded part continues after a call that threw.
    if (this.#state.name === "loading") this.#state = { name: "ended" };
    this.#onFailure(messageOf(error));
  }

  async #begin(): Promise<void> {
    const part = await this.#load();
    const state = this.#state;
    if (state.name === "ended") return putAway(part);
    assert(state.name === "loading", "a part is loaded once");
    this.#state = { name: "there", part };
    for (const call of state.calls) call(part);
  }
}

function putAway(part: Partial<Disposable>): void {
  part[Symbol.dispose]?.();
}
