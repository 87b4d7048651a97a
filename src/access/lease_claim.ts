/**
 * What the lease machine is asked and what it answers: a control's claim to a lease, and what came of it.
 * @module
 */
import type { ControlId, EndpointId } from "../base/ids.ts";
import type { LeaseClass, LeaseDenial } from "../event/body_number.ts";
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
  /** It waits; `displaced` has its own question before, when it waited already. */
  | { readonly kind: "waiting"; readonly displaced: readonly Successor[] }
  | {
    readonly kind: "handover";
    /** The owner that loses it now; NO_CONTROL when a handover was already under way. */
    readonly revoked: ControlId;
    /** The token that ended; 0 likewise. */
    readonly token: number;
    /** Controls that waited and do not any more, with their corrs. */
    readonly displaced: readonly Successor[];
  };

/** The control that wants a slot, or gets it when its finalization is done. */
export interface Successor {
  /** Who waits. */
  readonly party: LeaseParty;
  /** What its acquire is answered by; the caller chose it. */
  readonly corr: number;
  /** The keepalive that it promised; 0 = none. */
  readonly ttlMs: number;
  /** Why it wants it, for others; escaped. Left out: it does not say. */
  readonly message?: string;
  /** Whether it waits where it would be denied. Left out: no. */
  readonly waits?: boolean;
  /** Since when it waits, ns; left out: it does not. */
  readonly sinceNs?: number;
}

/** Who has a lease, and who waits for it. */
export interface LeaseParties {
  /** The owner, with why and since when; null: nobody. */
  readonly owner: Successor | null;
  /** Who waits, who gets it next first. */
  readonly waiting: readonly Successor[];
}
