/**
 * The controls that wait until a lease is given back, by priority, and first come, first served among equals.
 * The queue is bounded, and a control waits at most once per lease.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { ControlId } from "../base/ids.ts";
import type { Successor } from "./lease_claim.ts";

/** Maximum number of waiting controls per lease. */
export const MAX_LEASE_WAITERS = 64;

/** The queue of one lease. */
export class LeaseWaiters {
  readonly #waiting: Successor[] = [];

  /** The waiting controls, the next one first. */
  get list(): readonly Successor[] {
    return this.#waiting;
  }

  /** Whether the queue is full. */
  get isFull(): boolean {
    return this.#waiting.length >= MAX_LEASE_WAITERS;
  }

  /** Adds a control behind those of its own or a higher priority. */
  add(successor: Successor): void {
    assert(
      !this.isFull && this.#placeOf(successor.party.id) < 0,
      "a control waits once, where there is room",
    );
    const { arbPrio } = successor.party.grant;
    const place = this.#waiting.findIndex(({ party }) => party.grant.arbPrio < arbPrio);
    this.#waiting.splice(place < 0 ? this.#waiting.length : place, 0, successor);
  }

  /** Takes out the next control; null when nobody waits. */
  shift(): Successor | null {
    return this.#waiting.shift() ?? null;
  }

  /** Removes a control; null if it does not wait. */
  remove(control: ControlId): Successor | null {
    const place = this.#placeOf(control);
    return place < 0 ? null : this.#waiting.splice(place, 1)[0] ?? null;
  }

  #placeOf(control: ControlId): number {
    return this.#waiting.findIndex(({ party }) => party.id === control);
  }
}
