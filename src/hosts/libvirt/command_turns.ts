/**
 * Lines of commands that are carried out one after the other: libvirtd carries a client's calls out side by
 * side, and a monitor and a guest agent each have an order. It knows nothing of what the lines say.
 * @module
 */
import { assert } from "../../base/assert.ts";

/** Carries a command out. True: it is answered already; else {@linkcode CommandTurns.answered} follows. */
export type CarryOut<T> = (line: T) => boolean;

/** The commands of one user, as whatever they are to it. */
export class CommandTurns<T extends string | object> {
  readonly #most: number;
  readonly #carryOut: CarryOut<T>;
  readonly #waiting: T[] = [];
  #state: "resting" | "under way" | "closed" = "resting";

  /**
   * Has none yet.
   *
   * @param most how many may wait
   */
  constructor(most: number, carryOut: CarryOut<T>) {
    this.#most = most;
    this.#carryOut = carryOut;
  }

  /** Whether it was closed: nothing is carried out or answered any more. */
  get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** Takes a command. False: too many wait. */
  take(line: T): boolean {
    if (this.#waiting.length >= this.#most) return false;
    this.#waiting.push(line);
    this.#next();
    return true;
  }

  /** The command that was under way is answered: the next one begins. */
  answered(): void {
    assert(this.#state === "under way", "each command is answered once");
    this.#state = "resting";
    this.#next();
  }

  /** Gives back those that wait, which are not carried out. */
  close(): T[] {
    this.#state = "closed";
    return this.#waiting.splice(0);
  }

  #next(): void {
    while (this.#state === "resting") {
      const line = this.#waiting.shift();
      if (line === undefined) return;
      this.#state = "under way";
      if (this.#carryOut(line)) this.#endAtOnce();
    }
  }

  /** It may have been closed by the answer. */
  #endAtOnce(): void {
    if (!this.isClosed) this.#state = "resting";
  }
}
