/**
 * Questions about guests' memory, one at a time: each maps a guest and reads it, on the one thread that is
 * there for them. So no more than one is answered at once, few wait, and a user has no more than a share of
 * the places. Waiting for a process costs next to nothing: such questions wait beside.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";

/** Questions that wait for their turn, and waits that are under way, at most. */
const MOST_WAITING = 16;
/** The same of one user. */
const MOST_OF_A_USER = 4;

/** The turns. */
export class MemoryTurns {
  readonly #byUser = new Map<string, number>();
  #count = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** Questions that are not answered yet. */
  get waiting(): number {
    return this.#count;
  }

  /**
   * Has a question answered in its turn.
   *
   * @param isWait it only waits, and takes no turn
   * @throws {Fault} `busy`; what the answer is refused with
   */
  async take<T>(user: string, isWait: boolean, answer: () => Promise<T>): Promise<T> {
    const own = this.#byUser.get(user) ?? 0;
    if (this.#count >= MOST_WAITING || own >= MOST_OF_A_USER) {
      throw new Fault(
        "busy",
        `${this.#count} questions about memory wait on this host already, ${own} of them yours`,
      );
    }
    this.#count++;
    this.#byUser.set(user, own + 1);
    try {
      if (isWait) return await answer();
      const turn = this.#last.then(answer);
      this.#last = turn.catch(() => {});
      return await turn;
    } finally {
      this.#count--;
      const left = (this.#byUser.get(user) ?? 0) - 1;
      assert(left >= 0, "who is done had a place");
      if (left === 0) this.#byUser.delete(user);
      else this.#byUser.set(user, left);
    }
  }
}
