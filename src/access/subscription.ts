/**
 * A subscription: which UP events a control wants. It only narrows: a control receives subscription ∩ grant.
 * An endpoint mask of 0 means every VM. A source mask is taken as it is: with 0 a control receives no
 * broadcast at all, but still its answers.
 * @module
 */
import type { Prio } from "../event/priority.ts";
import { ALL_SOURCES } from "../event/source.ts";
import { ALL_ENDPOINTS, type EndpointMask } from "./grant.ts";

/** What a control wants to receive. */
export interface Subscription {
  /** Sources, bit 1 << source. */
  readonly sources: number;
  /** Events below this priority are not wanted. */
  readonly prioMin: Prio;
  /** Endpoints; the wire's "0 = all" has already been replaced by ALL_ENDPOINTS. */
  readonly endpoints: EndpointMask;
  /**
   * Kinds from this number on are not sent, because the control does not know them. Omitted: it knows all.
   */
  readonly kindsBelow?: number;
}

/** Everything. */
export const SUBSCRIBE_ALL: Subscription = { sources: ALL_SOURCES, prioMin: 0, endpoints: ALL_ENDPOINTS };

/** A subscription from the wire's fields. */
export function subscriptionOf(
  sources: number,
  prioMin: Prio,
  endpoints: EndpointMask,
  kindsBelow?: number,
): Subscription {
  const all = endpoints.lo === 0 && endpoints.hi === 0;
  const wanted = { sources, prioMin, endpoints: all ? ALL_ENDPOINTS : endpoints };
  return kindsBelow === undefined ? wanted : { ...wanted, kindsBelow };
}
