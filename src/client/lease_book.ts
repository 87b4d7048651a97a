/**
 * The leases of one client, by endpoint and class. Acquiring twice gives two handles of one lease; the daemon is told of the release of the last.
 * @module
 */
import { LEASE_CLASS_COUNT } from "../event/body_number.ts";
import type { Lease, LeaseLoss } from "./lease.ts";

/** The book. */
export class LeaseBook {
  readonly #held = new Map<number, Set<Lease>>();

  /** Handles that are held. */
  get size(): number {
    return this.#held.size;
  }

  /** All handles. */
  all(): Lease[] {
    return [...this.#held.values()].flatMap((handles) => [...handles]);
  }

  /** Whether any handle of an endpoint's class is held. */
  holds(endpoint: number, cls: number): boolean {
    return this.#held.has(endpoint * LEASE_CLASS_COUNT + cls);
  }

  /** Takes a handle in. */
  add(lease: Lease): void {
    const key = lease.endpoint * LEASE_CLASS_COUNT + lease.cls;
    const handles = this.#held.get(key);
    if (handles === undefined) this.#held.set(key, new Set([lease]));
    else handles.add(lease);
  }

  /** Takes a handle out; true when it was the last one of its lease. */
  remove(lease: Lease): boolean {
    const key = lease.endpoint * LEASE_CLASS_COUNT + lease.cls;
    const handles = this.#held.get(key);
    if (handles === undefined || !handles.delete(lease)) return false;
    return handles.size === 0 && this.#held.delete(key);
  }

  /** The daemon took a lease away. */
  revoke(endpoint: number, cls: number, reason: LeaseLoss): void {
    const key = endpoint * LEASE_CLASS_COUNT + cls;
    const handles = this.#held.get(key);
    this.#held.delete(key);
    for (const lease of handles ?? []) lease.lose(reason);
  }

  /** The daemon is gone, and every lease with it. */
  loseAll(): void {
    const leases = this.all();
    this.#held.clear();
    for (const lease of leases) lease.lose("disconnected");
  }
}
