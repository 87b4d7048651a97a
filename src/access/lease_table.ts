/**
 * The lease machine: who owns what can hurt, one slot an (endpoint, class). The mechanism only; the policy
 * (deny or pre-empt) is given. Pure: it is told the time and reports what happened, it sends nothing and runs
 * no finalization itself.
 *
 * A slot is free, owned, or in handover: its owner is gone (released, pre-empted, dead, not kept alive), its
 * finalization runs, and perhaps a successor waits. No command is admitted in a handover, so there is no
 * moment with two owners; the successor is told only by {@linkcode LeaseTable.finalized}. Tokens come from
 * one counter: they grow with every grant and are never reused while the daemon runs.
 * @module
 */
import { type ControlId, type EndpointId, NO_CONTROL } from "../base/ids.ts";
import { assert } from "../base/assert.ts";
import { NEVER } from "../base/clock.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import { LEASE_CLASS_COUNT, LEASE_DENY, type LeaseClass, type LeaseDenial } from "../event/body_number.ts";
import type { Grant } from "./grant.ts";

/** A control as the lease machine sees it. */
export interface LeaseParty {
  /** Its number, from 1. */
  readonly id: ControlId;
  /** Its live grant. */
  readonly grant: Grant;
}

/** What to do when a live owner's lease is wanted by another. */
export type ArbitrationDecision = "deny" | "preempt";
/** Called only against a live owner. */
export type ArbitrationPolicy = (
  endpoint: EndpointId,
  cls: LeaseClass,
  incumbent: Grant,
  contender: Grant,
) => ArbitrationDecision;

/** The default: strictly higher arb_prio pre-empts, ties stay with the owner. */
export function byArbPrio(
  _endpoint: EndpointId,
  _cls: LeaseClass,
  incumbent: Grant,
  contender: Grant,
): ArbitrationDecision {
  return contender.arbPrio > incumbent.arbPrio ? "preempt" : "deny";
}

/** What an acquire led to. `displaced`: a successor that waited and lost its place to a stronger one. */
export type AcquireOutcome =
  | { readonly kind: "granted"; readonly token: number; readonly ttlMs: number }
  | { readonly kind: "denied"; readonly reason: LeaseDenial }
  | {
    readonly kind: "handover";
    /** The owner that loses it now; NO_CONTROL when a handover was already under way. */
    readonly revoked: ControlId;
    /** The token that ended; 0 likewise. */
    readonly token: number;
    /** The waiting successor that gives way, with its corr; null for none. */
    readonly displaced: Successor | null;
  };

/** Who wants a slot, or gets it when its finalization is done. */
export interface Successor {
  /** Who waits. */
  readonly party: LeaseParty;
  /** What its acquire is answered by; the caller chose it. */
  readonly corr: number;
  /** The keepalive that it promised; 0 = none. */
  readonly ttlMs: number;
}

interface Slot {
  owner: LeaseParty | null;
  token: number;
  ttlMs: number;
  seenNs: number;
  handover: boolean;
  successor: Successor | null;
}

/** The leases of all endpoints. */
export class LeaseTable {
  readonly #slots: Slot[] = Array.from(
    { length: MAX_ENDPOINTS * LEASE_CLASS_COUNT },
    () => ({ owner: null, token: 0, ttlMs: 0, seenNs: 0, handover: false, successor: null }),
  );
  #lastToken = 0;
  /** Held slots that have a ttl: without one, keeping alive costs nothing. */
  #withTtl = 0;
  #policy: ArbitrationPolicy;

  /**
   * Starts with every slot free.
   *
   * @param policy deny or pre-empt, asked only against a live owner
   */
  constructor(policy: ArbitrationPolicy = byArbPrio) {
    this.#policy = policy;
  }

  /** Replaces the policy. */
  setPolicy(policy: ArbitrationPolicy): void {
    this.#policy = policy;
  }

  /**
   * Whether `token` is the live lease of (endpoint, class): owned, not in handover. Called on the hot path.
   */
  isLive(endpoint: EndpointId, cls: LeaseClass, token: number): boolean {
    const slot = this.#slot(endpoint, cls);
    return token !== 0 && slot.token === token && slot.owner !== null;
  }

  /**
   * The token under which a control owns (endpoint, class) now; 0 when it does not. Called on the hot path.
   */
  tokenOf(endpoint: EndpointId, cls: LeaseClass, controlId: ControlId): number {
    const slot = this.#slot(endpoint, cls);
    return slot.owner !== null && slot.owner.id === controlId ? slot.token : 0;
  }

  /** The live owner, or null. */
  ownerOf(endpoint: EndpointId, cls: LeaseClass): LeaseParty | null {
    return this.#slot(endpoint, cls).owner;
  }

  /** Whether a finalization is under way. */
  inHandover(endpoint: EndpointId, cls: LeaseClass): boolean {
    return this.#slot(endpoint, cls).handover;
  }

  /**
   * A control wants a lease.
   *
   * @returns `granted`: it owns it now (again, with the same token, when it did already). `denied`: with the
   *   header's reason. `handover`: it is the successor, and owns it when the finalization is done; if
   *   `revoked` is not NO_CONTROL the caller tells that owner and starts the finalization
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
        return { kind: "granted", token: slot.token, ttlMs };
      }
      if (this.#policy(endpoint, cls, slot.owner.grant, party.grant) === "deny") {
        return { kind: "denied", reason: denialOf(slot.owner.grant, party.grant) };
      }
      const revoked = slot.owner.id;
      const token = this.#end(slot);
      slot.successor = candidate;
      return { kind: "handover", revoked, token, displaced: null };
    }
    if (slot.handover) return this.#queue(endpoint, cls, slot, candidate);
    return this.#grant(slot, party, ttlMs, nowNs);
  }

  /** The owner gives it up: a handover begins. False when `controlId` does not own it. */
  release(endpoint: EndpointId, cls: LeaseClass, controlId: ControlId): boolean {
    const slot = this.#slot(endpoint, cls);
    if (slot.owner === null || slot.owner.id !== controlId) return false;
    this.#end(slot);
    return true;
  }

  /** Takes the waiting successor out of a handover: it will not get the slot. Null when none waits. */
  dismiss(endpoint: EndpointId, cls: LeaseClass): Successor | null {
    const slot = this.#slot(endpoint, cls);
    const { successor } = slot;
    slot.successor = null;
    return successor;
  }

  /**
   * The finalization is done: the waiting successor owns the slot now, or it is free.
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
    const successor = slot.successor;
    slot.successor = null;
    if (successor === null) return null;
    const granted = this.#grant(slot, successor.party, successor.ttlMs, nowNs);
    return { successor, token: granted.token };
  }

  /**
   * A control is gone, or lost its right: it owns nothing any more and waits for nothing.
   *
   * @param filter which slots; left out = all
   * @param ended called for each slot that it owned; a handover has begun there
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
      if (slot.owner !== null && slot.owner.id === controlId && filter(endpoint, cls)) {
        ended(endpoint, cls, this.#end(slot));
      }
    }
  }

  /** Something came from this control: its leases are kept alive. */
  touch(controlId: ControlId, nowNs: number): void {
    if (this.#withTtl === 0) return;
    for (const slot of this.#slots) {
      if (slot.owner !== null && slot.owner.id === controlId && slot.ttlMs > 0) slot.seenNs = nowNs;
    }
  }

  /** When the next lease with a ttl runs out unless its owner speaks, ns; NEVER when none has one. */
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

  /** Ends every lease whose ttl ran out; `ended` is called for each, a handover has begun there. */
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
    slot.handover = true;
    if (slot.ttlMs > 0) this.#withTtl--;
    slot.ttlMs = 0;
    return slot.token;
  }

  #grant(
    slot: Slot,
    party: LeaseParty,
    ttlMs: number,
    nowNs: number,
  ): { readonly kind: "granted"; readonly token: number; readonly ttlMs: number } {
    slot.owner = party;
    slot.token = ++this.#lastToken;
    slot.ttlMs = ttlMs;
    slot.seenNs = nowNs;
    if (ttlMs > 0) this.#withTtl++;
    return { kind: "granted", token: slot.token, ttlMs };
  }

  #queue(endpoint: EndpointId, cls: LeaseClass, slot: Slot, successor: Successor): AcquireOutcome {
    const waiting = slot.successor;
    if (waiting === null) {
      slot.successor = successor;
      return { kind: "handover", revoked: NO_CONTROL, token: 0, displaced: null };
    }
    if (waiting.party.id === successor.party.id) {
      // Asked twice while waiting: the first question is answered now, the second one when the slot is free.
      slot.successor = successor;
      return { kind: "handover", revoked: NO_CONTROL, token: 0, displaced: waiting };
    }
    if (this.#policy(endpoint, cls, waiting.party.grant, successor.party.grant) === "deny") {
      return { kind: "denied", reason: denialOf(waiting.party.grant, successor.party.grant) };
    }
    slot.successor = successor;
    return { kind: "handover", revoked: NO_CONTROL, token: 0, displaced: waiting };
  }
}

function denialOf(incumbent: Grant, contender: Grant): LeaseDenial {
  return contender.arbPrio < incumbent.arbPrio ? LEASE_DENY.LOWER_PRIO : LEASE_DENY.HELD;
}
