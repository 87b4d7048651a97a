/**
 * What the seams of one stub endpoint share: the state that a VM would have, and who wants to hear of it. It
 * keeps no history and no time.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { VM_STATE_NUMBER } from "../../event/body_number.ts";

/** Told what happens to the machine. */
export interface StubMachineListener {
  /** It stands still: nothing reaches it. */
  onStubStopped(): void;
  /** It runs again. */
  onStubRuns(): void;
  /** It was reset. */
  onStubReset(): void;
}

/** The state of a stub endpoint's machine. */
export class StubMachine {
  #state: number = VM_STATE_NUMBER.RUNNING;
  #listener: StubMachineListener | null = null;

  /** One of VM_STATE_NUMBER. */
  get state(): number {
    return this.#state;
  }

  /** Whether input reaches it. */
  get isRunning(): boolean {
    return this.#state === VM_STATE_NUMBER.RUNNING;
  }

  /** Tells `listener` from now on, until what this returns is called. */
  listen(listener: StubMachineListener): () => void {
    assert(this.#listener === null, "a machine has one listener");
    this.#listener = listener;
    return () => {
      assert(this.#listener === listener, "who listens no more has listened");
      this.#listener = null;
    };
  }

  /** Enters a state. False: it was there already. */
  enter(state: number): boolean {
    if (this.#state === state) return false;
    const ran = this.isRunning;
    this.#state = state;
    if (ran && !this.isRunning) this.#listener?.onStubStopped();
    if (!ran && this.isRunning) this.#listener?.onStubRuns();
    return true;
  }

  /** A reset: the state stays, what was held is gone. */
  reset(): void {
    this.#listener?.onStubReset();
  }
}
