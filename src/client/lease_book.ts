/**
 * The leases of one client, by endpoint and class. Acquiring twice gives two handles of one lease; the daemon
 * is told of the release of the last.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import { LEASE_CLASS_COUNT, type LeaseClass } from "../event/body_number.ts";
import type { Lease, LeaseLoss } from "./lease.ts";
import type { LeaseHolder } from "./lease_holder.ts";

/** How a lease was taken away. */
export interface Revocation {
  /** The core's number of the LEASE_REVOKED. */
  readonly seq: number;
  /** Why. */
  readonly reason: LeaseLoss;
  /** Who took it, where somebody did. */
  readonly by: LeaseHolder | undefined;
}

/** The book. */
export class LeaseBook {
  readonly #handles = new Map<number, Set<Lease>>();
  readonly #revocations = new Map<number, Revocation>();

  /** Leases that are owned. */
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
   * Takes a handle in. Between the arrival of the grant and this call a revocation may have arrived already:
   * then the handle is lost at once.
   *
   * @param grantSeq the core's number of the LEASE_GRANTED
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

  /** Takes a handle out; true when it was the last one of its lease. */
  remove(lease: Lease): boolean {
    const key = lease.endpoint * LEASE_CLASS_COUNT + lease.cls;
    const handles = this.#handles.get(key);
    if (handles === undefined || !handles.delete(lease)) return false;
    return handles.size === 0 && this.#handles.delete(key);
  }

  /**
   * The daemon took a lease away.
   *
   * @param revocation how, and by whom
   */
  revoke(endpoint: EndpointId, cls: LeaseClass, revocation: Revocation): void {
    const key = endpoint * LEASE_CLASS_COUNT + cls;
    // Bounded: endpoints and classes are, and what is out of their range is nobody's lease.
    if (endpoint < MAX_ENDPOINTS && cls < LEASE_CLASS_COUNT) this.#revocations.set(key, revocation);
    const handles = this.#handles.get(key);
    this.#handles.delete(key);
    for (const lease of handles ?? []) lease.lose(revocation.reason, revocation.by);
  }

  /** The daemon is gone, and every lease with it; so are the numbers that it told revocations by. */
  loseAll(reason: LeaseLoss): void {
    const leases = this.all();
    this.#handles.clear();
    this.#revocations.clear();
    for (const lease of leases) lease.lose(reason);
  }
}
