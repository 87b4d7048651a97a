/**
 * Queues queries about guests' memory: each maps a guest and reads it, on the one thread for this purpose. So
 * only one is answered at a time, few are queued, and each user may have only a share of the places. Waiting
 * for a process costs almost nothing, so such queries do not count as running.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";

/** Maximum number of queued queries and of waits. */
const MOST_WAITING = 16;
/** The same per user. */
const MOST_OF_A_USER = 4;

/** The queue. */
export class MemoryTurns {
  readonly #byUser = new Map<string, number>();
  #count = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** Queries without an answer yet. */
  get waiting(): number {
    return this.#count;
  }

  /**
   * Answers a query when its turn has come.
   *
   * @param isWait it only waits, and needs no turn
   * @throws {Fault} `busy`; refusals of the query
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
