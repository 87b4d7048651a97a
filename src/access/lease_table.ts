/**
 * The lease machine: which control owns each exclusive right; one slot per (endpoint, class). It is the
 * mechanism only; the policy (deny or pre-empt) is a parameter. Pure: the time is a parameter and results are
 * returned; it sends nothing and runs no finalization itself.
 *
 * A slot is free, owned, or in handover. In a handover its owner is gone (released, pre-empted, dead, not
 * kept alive), its finalization is running, and a successor may be waiting. No command is admitted in a
 * handover, so there is never more than one owner; the successor becomes owner only in {@linkcode
 * LeaseTable.finalized}. Behind the successor is the queue of controls that wait until the lease is given
 * back (lease_waiters.ts); a slot that becomes free goes to the first of them. Tokens come from one counter:
 * they grow with every grant and are never reused while the daemon runs.
 * @module
 */
import { type ControlId, type EndpointId, NO_CONTROL } from "../base/ids.ts";
import { assert } from "../base/assert.ts";
import { NEVER } from "../base/clock.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import { LEASE_CLASS_COUNT, LEASE_DENY, type LeaseClass, type LeaseDenial } from "../event/body_number.ts";
import type { Grant } from "./grant.ts";
import {
  type AcquireOutcome,
  type ArbitrationPolicy,
  byArbPrio,
  type LeaseParties,
  type LeaseParty,
  type Successor,
} from "./lease_claim.ts";
import { LeaseWaiters } from "./lease_waiters.ts";

export type {
  AcquireOutcome,
  ArbitrationDecision,
  ArbitrationPolicy,
  LeaseParties,
  LeaseParty,
  Successor,
} from "./lease_claim.ts";
export { byArbPrio } from "./lease_claim.ts";

interface Slot {
  owner: LeaseParty | null;
  token: number;
  ttlMs: number;
  seenNs: number;
  handover: boolean;
  successor: Successor | null;
  /** The request with which the owner got it, and the time. */
  claim: Successor | null;
  grantedNs: number;
  waiters: LeaseWaiters | null;
}

/** The leases of all endpoints. */
export class LeaseTable {
  readonly #slots: Slot[] = Array.from(
    { length: MAX_ENDPOINTS * LEASE_CLASS_COUNT },
    () => ({
      owner: null,
      token: 0,
      ttlMs: 0,
      seenNs: 0,
      handover: false,
      successor: null,
      claim: null,
      grantedNs: 0,
      waiters: null,
    }),
  );
  #lastToken = 0;
  /** Number of owned slots that have a ttl: if there are none, keepalive costs nothing. */
  #withTtl = 0;
  #policy: ArbitrationPolicy;

  /**
   * Starts with every slot free.
   *
   * @param policy deny or pre-empt; asked only when the lease has an owner
   */
  constructor(policy: ArbitrationPolicy = byArbPrio) {
    this.#policy = policy;
  }

  /** Replaces the policy. */
  setPolicy(policy: ArbitrationPolicy): void {
    this.#policy = policy;
  }

  /**
   * Whether `token` is the current lease of (endpoint, class): owned, not in handover. Called on the hot
   * path.
   */
  isLive(endpoint: EndpointId, cls: LeaseClass, token: number): boolean {
    const slot = this.#slot(endpoint, cls);
    return token !== 0 && slot.token === token && slot.owner !== null;
  }

  /** The token with which a control owns (endpoint, class) now; 0 if it does not. Called on the hot path. */
  tokenOf(endpoint: EndpointId, cls: LeaseClass, controlId: ControlId): number {
    const slot = this.#slot(endpoint, cls);
    return slot.owner !== null && slot.owner.id === controlId ? slot.token : 0;
  }

  /** The current owner, or null. */
  ownerOf(endpoint: EndpointId, cls: LeaseClass): LeaseParty | null {
    return this.#slot(endpoint, cls).owner;
  }

  /** Whether a finalization is under way. */
  inHandover(endpoint: EndpointId, cls: LeaseClass): boolean {
    return this.#slot(endpoint, cls).handover;
  }

  /**
   * Requests a lease for a control.
   *
   * @returns `granted`: the control owns the lease now (with the same token, if it did already). `denied`:
   *   with the header's reason. `handover`: the control is the successor, and becomes owner when the
   *   finalization is done; if `revoked` is not NO_CONTROL, the caller tells that owner and starts the
   *   finalization
   */
  acquire(
    endpoint: EndpointId,
    cls: LeaseClass,
    candidate: Successor,
    nowNs: number,
  ): AcquireOutcome {
    const slot = this.#slot(endpoint, cls);
    const { party, ttlMs } = candidate;
    if (slot.owner !== null) {
      if (slot.owner.id === party.id) {
        this.#withTtl += (ttlMs > 0 ? 1 : 0) - (slot.ttlMs > 0 ? 1 : 0);
        slot.ttlMs = ttlMs;
        slot.seenNs = nowNs;
        if (candidate.message !== undefined) slot.claim = candidate;
        return { kind: "granted", token: slot.token, ttlMs };
      }
      if (this.#policy(endpoint, cls, slot.owner.grant, party.grant) === "deny") {
        if (candidate.waits === true) return this.#wait(slot, candidate, nowNs);
        return { kind: "denied", reason: denialOf(slot.owner.grant, party.grant) };
      }
      const revoked = slot.owner.id;
      const token = this.#end(slot);
      assert(slot.successor === null, "a lease that is owned has no successor");
      slot.successor = candidate;
      return { kind: "handover", revoked, token, displaced: this.#stopWaiting(slot, party.id) };
    }
    if (slot.handover) return this.#queue(endpoint, cls, slot, candidate, nowNs);
    return this.#grant(slot, candidate, nowNs);
  }

  /** Which control owns a lease, and which ones wait for it. */
  partiesOf(endpoint: EndpointId, cls: LeaseClass): LeaseParties {
    const { claim, grantedNs, successor, waiters } = this.#slot(endpoint, cls);
    const waiting = waiters?.list ?? [];
    return {
      owner: claim === null ? null : { ...claim, sinceNs: grantedNs },
      waiting: successor?.waits === true ? [successor, ...waiting] : waiting,
    };
  }

  /**
   * Removes a waiting control and returns its request, which the caller answers; null if it was not waiting.
   */
  giveUp(endpoint: EndpointId, cls: LeaseClass, controlId: ControlId): Successor | null {
    const slot = this.#slot(endpoint, cls);
    const { successor } = slot;
    if (successor?.waits === true && successor.party.id === controlId) {
      slot.successor = null;
      return successor;
    }
    return slot.waiters?.remove(controlId) ?? null;
  }

  /** The owner releases the lease: a handover begins. False if `controlId` does not own it. */
  release(endpoint: EndpointId, cls: LeaseClass, controlId: ControlId): boolean {
    const slot = this.#slot(endpoint, cls);
    if (slot.owner === null || slot.owner.id !== controlId) return false;
    this.#end(slot);
    return true;
  }

  /** Removes all waiting controls: the successor of a handover first, then the others. */
  dismissAll(endpoint: EndpointId, cls: LeaseClass): Successor[] {
    const slot = this.#slot(endpoint, cls);
    const { successor, waiters } = slot;
    slot.successor = null;
    slot.waiters = null;
    return [...successor === null ? [] : [successor], ...waiters?.list ?? []];
  }

  /**
   * The finalization is done: the successor owns the slot now, or the slot is free.
   *
   * @returns the new owner with its token and corr, or null
   */
  finalized(
    endpoint: EndpointId,
    cls: LeaseClass,
    nowNs: number,
  ): { readonly successor: Successor; readonly token: number } | null {
    const slot = this.#slot(endpoint, cls);
    assert(slot.handover && slot.owner === null, "a finalization belongs to a handover");
    slot.handover = false;
    const successor = slot.successor ?? slot.waiters?.shift() ?? null;
    slot.successor = null;
    if (successor === null) return null;
    const granted = this.#grant(slot, successor, nowNs);
    return { successor, token: granted.token };
  }

  /**
   * A control is gone, or has lost its right: it no longer owns or waits for anything.
   *
   * @param filter selects slots; omitted = all
   * @param ended called for each slot that it owned, where a handover has begun
   * @param dismissed called for each slot where it waited as successor
   */
  withdraw(
    controlId: ControlId,
    filter: (endpoint: EndpointId, cls: LeaseClass) => boolean,
    ended: (endpoint: EndpointId, cls: LeaseClass, token: number) => void,
    dismissed: (endpoint: EndpointId, cls: LeaseClass, successor: Successor) => void,
  ): void {
    for (let index = 0; index < this.#slots.length; index++) {
      const slot = this.#slots[index] as Slot;
      const endpoint = Math.floor(index / LEASE_CLASS_COUNT) as EndpointId;
      const cls = (index % LEASE_CLASS_COUNT) as LeaseClass;
      const { successor } = slot;
      if (successor !== null && successor.party.id === controlId && filter(endpoint, cls)) {
        slot.successor = null;
        dismissed(endpoint, cls, successor);
      }
      if (slot.waiters !== null && filter(endpoint, cls)) {
        const waiter = slot.waiters.remove(controlId);
        if (waiter !== null) dismissed(endpoint, cls, waiter);
      }
      if (slot.owner !== null && slot.owner.id === controlId && filter(endpoint, cls)) {
        ended(endpoint, cls, this.#end(slot));
      }
    }
  }

  /** Something was received from this control, which keeps its leases alive. */
  touch(controlId: ControlId, nowNs: number): void {
    if (this.#withTtl === 0) return;
    for (const slot of this.#slots) {
      if (slot.owner !== null && slot.owner.id === controlId && slot.ttlMs > 0) slot.seenNs = nowNs;
    }
  }

  /** When the next lease with a ttl expires unless its owner sends something, ns; NEVER if none has one. */
  deadline(): number {
    let earliest = NEVER;
    if (this.#withTtl === 0) return earliest;
    for (const slot of this.#slots) {
      if (slot.owner !== null && slot.ttlMs > 0) {
        earliest = Math.min(earliest, slot.seenNs + slot.ttlMs * 1_000_000);
      }
    }
    return earliest;
  }

  /** Ends every lease whose ttl has expired; `ended` is called for each, a handover has begun there. */
  expire(
    nowNs: number,
    ended: (endpoint: EndpointId, cls: LeaseClass, token: number, owner: ControlId) => void,
  ): void {
    for (let index = 0; index < this.#slots.length; index++) {
      const slot = this.#slots[index] as Slot;
      if (slot.owner === null || slot.ttlMs === 0) continue;
      if (slot.seenNs + slot.ttlMs * 1_000_000 > nowNs) continue;
      const owner = slot.owner.id;
      const endpoint = Math.floor(index / LEASE_CLASS_COUNT) as EndpointId;
      ended(endpoint, (index % LEASE_CLASS_COUNT) as LeaseClass, this.#end(slot), owner);
    }
  }

  #slot(endpoint: EndpointId, cls: LeaseClass): Slot {
    return this.#slots[endpoint * LEASE_CLASS_COUNT + cls] as Slot;
  }

  /** Ends the owner's lease and begins the handover; returns the token that ended. */
  #end(slot: Slot): number {
    assert(slot.owner !== null && !slot.handover, "a lease that ends is owned");
    slot.owner = null;
    slot.claim = null;
    slot.handover = true;
    if (slot.ttlMs > 0) this.#withTtl--;
    assert(this.#withTtl >= 0, "each lease with a ttl is counted once");
    slot.ttlMs = 0;
    return slot.token;
  }

  #grant(
    slot: Slot,
    claim: Successor,
    nowNs: number,
  ): { readonly kind: "granted"; readonly token: number; readonly ttlMs: number } {
    const { party, ttlMs } = claim;
    assert(slot.owner === null && !slot.handover, "a lease that is granted is free");
    slot.owner = party;
    slot.claim = claim;
    slot.grantedNs = nowNs;
    slot.token = ++this.#lastToken;
    slot.ttlMs = ttlMs;
    slot.seenNs = nowNs;
    if (ttlMs > 0) this.#withTtl++;
    return { kind: "granted", token: slot.token, ttlMs };
  }

  /** A control's own earlier request, which is void now. */
  #stopWaiting(slot: Slot, control: ControlId): Successor[] {
    const before = slot.waiters?.remove(control) ?? null;
    return before === null ? [] : [before];
  }

  #wait(slot: Slot, candidate: Successor, nowNs: number): AcquireOutcome {
    const waiters = slot.waiters ??= new LeaseWaiters();
    const displaced = this.#stopWaiting(slot, candidate.party.id);
    if (waiters.isFull) return { kind: "denied", reason: LEASE_DENY.HELD };
    waiters.add({ ...candidate, sinceNs: displaced[0]?.sinceNs ?? candidate.sinceNs ?? nowNs });
    return { kind: "waiting", displaced };
  }

  #queue(
    endpoint: EndpointId,
    cls: LeaseClass,
    slot: Slot,
    candidate: Successor,
    nowNs: number,
  ): AcquireOutcome {
    const { party } = candidate;
    // Who is next: the successor, or the control that has waited longest; the candidate's own place is not
    // counted against it.
    const next = slot.successor ?? slot.waiters?.list[0] ?? null;
    const isRival = next !== null && next.party.id !== party.id;
    if (isRival && this.#policy(endpoint, cls, next.party.grant, party.grant) === "deny") {
      if (candidate.waits === true) return this.#wait(slot, candidate, nowNs);
      return { kind: "denied", reason: denialOf(next.party.grant, party.grant) };
    }
    const before = slot.successor;
    const displaced = this.#stopWaiting(slot, party.id);
    slot.successor = candidate;
    // A second request while waiting: the first is answered now, the second when the slot is free. A weaker
    // successor keeps waiting if it asked to wait.
    const waitsOn = before !== null && before.party.id !== party.id && before.waits === true &&
      this.#wait(slot, before, nowNs).kind === "waiting";
    if (before !== null && !waitsOn) displaced.push(before);
    return { kind: "handover", revoked: NO_CONTROL, token: 0, displaced };
  }
}

function denialOf(incumbent: Grant, contender: Grant): LeaseDenial {
  return contender.arbPrio < incumbent.arbPrio ? LEASE_DENY.LOWER_PRIO : LEASE_DENY.HELD;
}
