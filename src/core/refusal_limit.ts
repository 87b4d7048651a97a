/**
 * How many refusals of one principal are written per second, and how many were left out. A refusal costs the
 * peer nothing, so a peer chooses how many there are; commands that were carried out are bounded by what the
 * VMs do, and are not limited here.
 *
 * It counts by principal (uid) and not by control: connecting anew gives no new budget. The table is bounded;
 * principals that find it full share one budget. Pure: it is told the time.
 * @module
 */
import { assert } from "../base/assert.ts";
import { NEVER, SECOND } from "../base/clock.ts";

/** Refusals of one principal that are written in one second. */
const REFUSALS_A_SECOND = 20;
/** Principals that have a budget of their own at a time. */
const MAX_PRINCIPALS = 64;
/** The principal of what was left out of those that share a budget; no uid (it is the kernel's "no user"). */
export const OTHER_PRINCIPALS = 0xffffffff;

interface Budget {
  readonly sinceNs: number;
  written: number;
  leftOut: number;
}

/** Told how many refusals of a principal were left out in its second. */
export type LeftOut = (principal: number, count: number) => void;

/** The budgets of the present second. */
export class RefusalLimit {
  readonly #budgets = new Map<number, Budget>();

  /** How many principals have one now: none but in the second after a refusal. */
  get size(): number {
    return this.#budgets.size;
  }

  /**
   * Notes one refusal.
   *
   * @returns whether it is to be written; if not it is counted, and {@linkcode sweep} tells
   */
  admits(principal: number, nowNs: number): boolean {
    const budget = this.#budgets.get(principal) ?? this.#open(principal, nowNs);
    if (budget.written < REFUSALS_A_SECOND) {
      budget.written++;
      return true;
    }
    budget.leftOut++;
    return false;
  }

  /** When the first second ends of those in which something was left out, ns; NEVER when nothing was. */
  deadlineNs(): number {
    let earliest = NEVER;
    for (const { sinceNs, leftOut } of this.#budgets.values()) {
      if (leftOut > 0) earliest = Math.min(earliest, sinceNs + SECOND);
    }
    return earliest;
  }

  /** Ends the seconds that are over by then, and tells what was left out in each. */
  sweep(nowNs: number, tell: LeftOut): void {
    for (const [principal, { sinceNs, leftOut }] of this.#budgets) {
      if (nowNs - sinceNs < SECOND) continue;
      this.#budgets.delete(principal);
      if (leftOut > 0) tell(principal, leftOut);
    }
  }

  #open(principal: number, nowNs: number): Budget {
    // One place is kept for those that find no other.
    const whose = this.#budgets.size < MAX_PRINCIPALS ? principal : OTHER_PRINCIPALS;
    let budget = this.#budgets.get(whose);
    if (budget === undefined) {
      budget = { sinceNs: nowNs, written: 0, leftOut: 0 };
      this.#budgets.set(whose, budget);
      assert(this.#budgets.size <= MAX_PRINCIPALS + 1, "only the place for all others comes on top");
    }
    return budget;
  }
}
