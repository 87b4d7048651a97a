/**
 * The controls that wait until a lease is given back: the strongest first, and of equals who came first.
 * Bounded; one control waits once for a lease.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { ControlId } from "../base/ids.ts";
import type { Successor } from "./lease_claim.ts";

/** Controls that may wait for one lease. */
export const MAX_LEASE_WAITERS = 64;

/** The queue of one lease. */
export class LeaseWaiters {
  readonly #waiting: Successor[] = [];

  /** Those who wait, who gets it next first. */
  get list(): readonly Successor[] {
    return this.#waiting;
  }

  /** Whether there is no place for one more. */
  get isFull(): boolean {
    return this.#waiting.length >= MAX_LEASE_WAITERS;
  }

  /** Takes one in, behind those of its strength and above. */
  add(successor: Successor): void {
    assert(
      !this.isFull && this.#placeOf(successor.party.id) < 0,
      "a control waits once, where there is room",
    );
    const { arbPrio } = successor.party.grant;
    const place = this.#waiting.findIndex(({ party }) => party.grant.arbPrio < arbPrio);
    this.#waiting.splice(place < 0 ? this.#waiting.length : place, 0, successor);
  }

  /** Takes out who gets it next; null when nobody waits. */
  shift(): Successor | null {
    return this.#waiting.shift() ?? null;
  }

  /** Takes a control out; null when it does not wait. */
  remove(control: ControlId): Successor | null {
    const place = this.#placeOf(control);
    return place < 0 ? null : this.#waiting.splice(place, 1)[0] ?? null;
  }

  #placeOf(control: ControlId): number {
    return this.#waiting.findIndex(({ party }) => party.id === control);
  }
}
