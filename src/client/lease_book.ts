/**
 * The leases of one client, by endpoint and class. Acquiring a lease twice gives two handles of it; the
 * daemon is told when the last one is released.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import { LEASE_CLASS_COUNT, type LeaseClass } from "../event/body_number.ts";
import type { Lease, LeaseLoss } from "./lease.ts";
import type { LeaseHolder } from "./lease_holder.ts";

/** A revocation. */
export interface Revocation {
  /** The sequence number of the LEASE_REVOKED. */
  readonly seq: number;
  /** The reason. */
  readonly reason: LeaseLoss;
  /** Who took it, if somebody did. */
  readonly by: LeaseHolder | undefined;
}

/** The leases of a client. */
export class LeaseBook {
  readonly #handles = new Map<number, Set<Lease>>();
  readonly #revocations = new Map<number, Revocation>();

  /** Owned leases. */
  get size(): number {
    return this.#handles.size;
  }

  /** All handles. */
  all(): Lease[] {
    return [...this.#handles.values()].flatMap((handles) => [...handles]);
  }

  /** Whether any handle of an endpoint's class is owned. */
  owns(endpoint: EndpointId, cls: LeaseClass): boolean {
    return this.#handles.has(endpoint * LEASE_CLASS_COUNT + cls);
  }

  /**
   * Adds a handle. A revocation may already have arrived between the grant and this call; then the handle is
   * lost at once.
   *
   * @param grantSeq the sequence number of the LEASE_GRANTED
   */
  add(lease: Lease, grantSeq: number): void {
    const key = lease.endpoint * LEASE_CLASS_COUNT + lease.cls;
    const revocation = this.#revocations.get(key);
    if (revocation !== undefined && ((revocation.seq - grantSeq) | 0) > 0) {
      lease.lose(revocation.reason, revocation.by);
      return;
    }
    const handles = this.#handles.get(key);
    if (handles === undefined) this.#handles.set(key, new Set([lease]));
    else handles.add(lease);
  }

  /** Removes a handle; true when it was the last one of its lease. */
  remove(lease: Lease): boolean {
    const key = lease.endpoint * LEASE_CLASS_COUNT + lease.cls;
    const handles = this.#handles.get(key);
    if (handles === undefined || !handles.delete(lease)) return false;
    return handles.size === 0 && this.#handles.delete(key);
  }

  /**
   * The daemon took a lease away.
   *
   * @param revocation the revocation
   */
  revoke(endpoint: EndpointId, cls: LeaseClass, revocation: Revocation): void {
    const key = endpoint * LEASE_CLASS_COUNT + cls;
    // Bounded, because endpoints and classes are; numbers out of range are ignored.
    if (endpoint < MAX_ENDPOINTS && cls < LEASE_CLASS_COUNT) this.#revocations.set(key, revocation);
    const handles = this.#handles.get(key);
    this.#handles.delete(key);
    for (const lease of handles ?? []) lease.lose(revocation.reason, revocation.by);
  }

  /** The daemon is gone, and with it every lease and the sequence numbers of revocations. */
  loseAll(reason: LeaseLoss): void {
    const leases = this.all();
    this.#handles.clear();
    this.#revocations.clear();
    for (const lease of leases) lease.lose(reason);
  }
}
