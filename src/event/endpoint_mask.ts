/**
 * Sets of endpoints: 64 bits, held as two u32 halves, because shifting doubles is wrong and BigInt is slow.
 * On the wire a set is one unsigned integer of CBOR.
 * @module
 */

/** A set of endpoints 0 to 63, as two halves. */
export interface EndpointMask {
  /** Endpoints 0 to 31. */
  readonly lo: number;
  /** Endpoints 32 to 63. */
  readonly hi: number;
}

/** No endpoint. */
export const NO_ENDPOINTS: EndpointMask = { lo: 0, hi: 0 };
/** All 64 endpoints. */
export const ALL_ENDPOINTS: EndpointMask = { lo: 0xffffffff, hi: 0xffffffff };

/** Whether an endpoint is in a mask; a number of 64 or more is in none. */
export function maskHas(mask: EndpointMask, endpoint: number): boolean {
  if (endpoint >= 64) return false;
  return endpoint < 32 ? ((mask.lo >>> endpoint) & 1) === 1 : ((mask.hi >>> (endpoint - 32)) & 1) === 1;
}

/** A mask with exactly these endpoints. */
export function maskOf(endpoints: Iterable<number>): EndpointMask {
  let lo = 0;
  let hi = 0;
  for (const endpoint of endpoints) {
    if (endpoint < 32) lo |= 1 << endpoint;
    else if (endpoint < 64) hi |= 1 << (endpoint - 32);
  }
  return { lo: lo >>> 0, hi: hi >>> 0 };
}

/** Endpoints that are in both. */
export function maskAnd(a: EndpointMask, b: EndpointMask): EndpointMask {
  return { lo: (a.lo & b.lo) >>> 0, hi: (a.hi & b.hi) >>> 0 };
}

/** Endpoints that are in either. */
export function maskOr(a: EndpointMask, b: EndpointMask): EndpointMask {
  return { lo: (a.lo | b.lo) >>> 0, hi: (a.hi | b.hi) >>> 0 };
}

/** As a 64-bit integer, for the wire. */
export function maskToBigInt(mask: EndpointMask): bigint {
  return (BigInt(mask.hi) << 32n) | BigInt(mask.lo);
}

/** From a CBOR unsigned integer; undefined when it is not one of at most 64 bits. */
export function maskFromCbor(value: unknown): EndpointMask | undefined {
  if (typeof value !== "bigint" && !(typeof value === "number" && Number.isSafeInteger(value))) {
    return undefined;
  }
  const bits = BigInt(value);
  if (bits < 0n || bits >= 1n << 64n) return undefined;
  return { lo: Number(bits & 0xffffffffn), hi: Number(bits >> 32n) };
}
