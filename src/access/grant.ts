/**
 * A grant: the upper limit of a control's rights. By default nothing is allowed: with an empty grant a
 * control receives nothing and may send nothing.
 * @module
 */
import { ALL_CAPS } from "../event/capability.ts";
import { ALL_ENDPOINTS, type EndpointMask } from "../event/endpoint_mask.ts";
import { ALL_SOURCES } from "../event/source.ts";
import type { Principal } from "../base/principal_name.ts";

export {
  ALL_ENDPOINTS,
  type EndpointMask,
  maskAnd,
  maskFromCbor,
  maskHas,
  maskOf,
  maskOr,
  maskToBigInt,
  NO_ENDPOINTS,
} from "../event/endpoint_mask.ts";

/** A control's rights. */
export interface Grant extends Principal {
  /** The VMs. */
  readonly endpoints: EndpointMask;
  /** Which UP sources, bit 1 << source. */
  readonly sources: number;
  /** Capabilities, see `capability.ts`. */
  readonly caps: number;
  /** Lease arbitration priority: a strictly higher one pre-empts. */
  readonly arbPrio: number;
}

/** All rights, for the daemon's own uid when the config has no rule for it. */
export function fullGrant(principal: number, arbPrio = 10): Grant {
  return { principal, endpoints: ALL_ENDPOINTS, sources: ALL_SOURCES, caps: ALL_CAPS, arbPrio };
}

/** Whether two grants are the same rights of the same user. */
export function isSameGrant(a: Grant, b: Grant): boolean {
  return a.caps === b.caps && a.sources === b.sources && a.arbPrio === b.arbPrio &&
    a.principal === b.principal && a.as === b.as && a.endpoints.lo === b.endpoints.lo &&
    a.endpoints.hi === b.endpoints.hi;
}

/** Whether a grant allows anything; with an empty one a peer is refused. */
export function isEmptyGrant(grant: Grant): boolean {
  return grant.caps === 0 || (grant.endpoints.lo === 0 && grant.endpoints.hi === 0);
}
