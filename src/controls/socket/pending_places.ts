/**
 * Places of pending peers: how many may be connected and without a HELLO yet. Each user has a few of them, so
 * that one cannot take all; and there are some more for those who must always get in (root and the daemon's
 * own user).
 *
 * It only counts; the caller says whom a place is for.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { RESERVED_PLACES } from "../../base/limits.ts";

/** The fewest places that a user has. */
const LEAST_A_USER = 8;
/** Which part of all places one user has. */
const PART_A_USER = 16;

/** Counts pending peers. */
export class PendingPlaces {
  readonly #all: number;
  readonly #aUser: number;
  readonly #byUser = new Map<number, number>();
  #taken = 0;

  /**
   * Starts with nobody there.
   *
   * @param all places of all users together; those in reserve come on top
   */
  constructor(all: number) {
    this.#all = all;
    this.#aUser = Math.max(LEAST_A_USER, Math.floor(all / PART_A_USER));
  }

  /** How many there are. */
  get taken(): number {
    return this.#taken;
  }

  /**
   * Takes a place.
   *
   * @param isPrivileged it may use the reserve, and as many as there are
   * @returns "" when it has one, else why not
   */
  take(uid: number, isPrivileged: boolean): string {
    const own = this.#byUser.get(uid) ?? 0;
    if (!isPrivileged && own >= this.#aUser) {
      return `${own} peers of uid ${uid} have not sent HELLO yet, the most that a user may have`;
    }
    if (this.#taken >= this.#all + (isPrivileged ? RESERVED_PLACES : 0)) {
      return "too many peers have not sent HELLO yet";
    }
    this.#byUser.set(uid, own + 1);
    this.#taken++;
    return "";
  }

  /** Gives a place back. */
  give(uid: number): void {
    const own = this.#byUser.get(uid) ?? 0;
    assert(own > 0 && this.#taken > 0, "a place that is given back was taken");
    if (own <= 1) this.#byUser.delete(uid);
    else this.#byUser.set(uid, own - 1);
    this.#taken--;
  }
}
