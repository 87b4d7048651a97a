/**
 * Limits the number of refusals written per principal and second, and counts the rest. A refusal costs the
 * peer nothing, so a peer decides how many there are. Commands that were carried out are bounded by the VMs,
 * and are not limited here.
 *
 * Limits apply to principals (uids) and not to controls, so that a new connection brings no new budget. The
 * table is bounded; principals that find it full share one budget. Pure: the time is a parameter.
 * @module
 */
import { assert } from "../base/assert.ts";
import { NEVER, SECOND } from "../base/clock.ts";

/** Refusals of one principal that are written per second. */
const REFUSALS_A_SECOND = 20;
/** Principals that have a budget of their own at the same time. */
const MAX_PRINCIPALS = 64;
/** The principal that stands for those that share a budget; not a uid (the kernel's "no user"). */
export const OTHER_PRINCIPALS = 0xffffffff;

interface Budget {
  readonly sinceNs: number;
  written: number;
  leftOut: number;
}

/** Called with the number of a principal's refusals that were left out in its second. */
export type LeftOut = (principal: number, count: number) => void;

/** The budgets of the current second. */
export class RefusalLimit {
  readonly #budgets = new Map<number, Budget>();

  /** Number of principals that have a budget now: zero except in the second after a refusal. */
  get size(): number {
    return this.#budgets.size;
  }

  /**
   * Counts one refusal.
   *
   * @returns whether to write it; if not, {@linkcode sweep} reports it
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

  /** The earliest end of a second in which something was left out, ns; NEVER if nothing was. */
  deadlineNs(): number {
    let earliest = NEVER;
    for (const { sinceNs, leftOut } of this.#budgets.values()) {
      if (leftOut > 0) earliest = Math.min(earliest, sinceNs + SECOND);
    }
    return earliest;
  }

  /** Ends the seconds that are over, and reports what was left out in each. */
  sweep(nowNs: number, tell: LeftOut): void {
    for (const [principal, { sinceNs, leftOut }] of this.#budgets) {
      if (nowNs - sinceNs < SECOND) continue;
      this.#budgets.delete(principal);
      if (leftOut > 0) tell(principal, leftOut);
    }
  }

  #open(principal: number, nowNs: number): Budget {
    // One entry is reserved for the shared budget.
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
