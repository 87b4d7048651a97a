/**
 * A part of a thread whose modules are loaded when it is first needed: the start does not wait for what only
 * VMs need, and a daemon without any does without it. Calls are carried out in the order in which they were
 * made, those of before once it is there.
 * @module
 */
import { assert } from "../base/assert.ts";
import { messageOf } from "../base/fault.ts";

/** Where a part stands. */
type State<T> =
  | { readonly name: "absent" }
  | { readonly name: "loading"; readonly calls: ((part: T) => void)[]; readonly done: Promise<void> }
  | { readonly name: "there"; readonly part: T }
  | { readonly name: "ended" };

/** Such a part; one that is disposable is disposed of at its end. */
export class LatePart<T extends object> implements Disposable {
  readonly #load: () => Promise<T>;
  readonly #onFailure: (message: string) => void;
  #state: State<T> = { name: "absent" };

  /**
   * Loads nothing yet.
   *
   * @param load loads its modules and makes it
   * @param onFailure told when that failed, or a call that had to wait for it
   */
  constructor(load: () => Promise<T>, onFailure: (message: string) => void) {
    this.#load = load;
    this.#onFailure = onFailure;
  }

  /** The part, where it has been needed. */
  get present(): T | undefined {
    return this.#state.name === "there" ? this.#state.part : undefined;
  }

  /** Whether nobody has needed it yet. */
  get isAbsent(): boolean {
    return this.#state.name === "absent";
  }

  /** While it is being loaded: until it is there and has done what it was asked meanwhile, or has failed. */
  get loading(): Promise<void> | undefined {
    return this.#state.name === "loading" ? this.#state.done : undefined;
  }

  /** Has the part do something, now or once it is there; nothing when it has ended. */
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

  /** Ends the part; it is not loaded any more. */
  [Symbol.dispose](): void {
    const { present } = this;
    this.#state = { name: "ended" };
    if (present !== undefined) putAway(present);
  }

  #failed(error: unknown): void {
    // A part that is there goes on without the call that threw.
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
