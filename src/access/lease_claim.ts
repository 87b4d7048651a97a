/**
 * Requests to the lease machine and their results: a control's claim to a lease, and what came of it.
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

/** How to decide when another control wants a lease that is owned. */
export type ArbitrationDecision = "deny" | "preempt";
/** Called only when the lease has an owner. */
export type ArbitrationPolicy = (
  endpoint: EndpointId,
  cls: LeaseClass,
  incumbent: Grant,
  contender: Grant,
) => ArbitrationDecision;

/** The default: a strictly higher arb_prio pre-empts; on a tie the owner keeps the lease. */
export function byArbPrio(
  _endpoint: EndpointId,
  _cls: LeaseClass,
  incumbent: Grant,
  contender: Grant,
): ArbitrationDecision {
  return contender.arbPrio > incumbent.arbPrio ? "preempt" : "deny";
}

/** Result of an acquire. `displaced`: a waiting successor that lost its place to a stronger control. */
export type AcquireOutcome =
  | { readonly kind: "granted"; readonly token: number; readonly ttlMs: number }
  | { readonly kind: "denied"; readonly reason: LeaseDenial }
  /** The control waits; `displaced` holds its own earlier request, if it was waiting already. */
  | { readonly kind: "waiting"; readonly displaced: readonly Successor[] }
  | {
    readonly kind: "handover";
    /** The owner that loses the lease now; NO_CONTROL when a handover was already under way. */
    readonly revoked: ControlId;
    /** The token that ended; 0 likewise. */
    readonly token: number;
    /** Controls that no longer wait, with their corrs. */
    readonly displaced: readonly Successor[];
  };

/** A control that wants a slot; it gets it when the handover's finalization is done. */
export interface Successor {
  /** The control. */
  readonly party: LeaseParty;
  /** The corr of the answer to its acquire, chosen by the control. */
  readonly corr: number;
  /** Its keepalive interval; 0 = none. */
  readonly ttlMs: number;
  /** Its reason, for other controls; escaped. Omitted: none given. */
  readonly message?: string;
  /** Whether it waits where it would be denied. Omitted: no. */
  readonly waits?: boolean;
  /** Since when it has waited, ns; omitted: it does not wait. */
  readonly sinceNs?: number;
}

/** Who owns a lease, and who waits for it. */
export interface LeaseParties {
  /** The owner, with its reason and since when; null: nobody. */
  readonly owner: Successor | null;
  /** The waiting controls, the next one first. */
  readonly waiting: readonly Successor[];
}
