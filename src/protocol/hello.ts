/**
 * HELLO, the control's part of joining (src/event/PROTOCOL.md): a CBOR map with a version, a name and
 * what the control wants to receive. Written by the client library and by perception, read by the daemon.
 *
 * What it says is not yet a subscription: that "no endpoint named" means all of them is the daemon's to know
 * (access/subscription.ts).
 * @module
 */
import { encode } from "cborg";
import { messageOf } from "../base/fault.ts";
import { MAX_CONTROL_NAME_BYTES, MAX_HELLO_BYTES, MAX_HELLO_DEPTH } from "../base/limits.ts";
import { decodeBounded } from "../event/bounded_cbor.ts";
import { type EndpointMask, maskFromCbor, maskToBigInt, NO_ENDPOINTS } from "../event/endpoint_mask.ts";
import { KIND_MAX } from "../event/kind.ts";
import { PRIO, type Prio, PRIO_COUNT } from "../event/priority.ts";
import { ALL_SOURCES } from "../event/source.ts";
import { principalDefect } from "../base/principal_name.ts";
import { cut, isMap, isU32, quoted } from "./cbor_field.ts";
import { PROTOCOL } from "./version.ts";

const BOUNDS = { bytes: MAX_HELLO_BYTES, depth: MAX_HELLO_DEPTH };

/** What a control says of itself. */
export interface Hello {
  /** What the log and the audit trail call it; "" for its process's number. */
  readonly name: string;
  /** Sources that it wants, bit 1 << source. */
  readonly sources: number;
  /** The lowest priority that it wants. */
  readonly prioMin: Prio;
  /** Endpoints that it wants; none named means all. */
  readonly endpoints: EndpointMask;
  /** One past the largest kind that it knows; 0 = it does not say, and is not told the daemon's. */
  readonly kinds: number;
  /** For whom the control's process speaks, "token:alice"; "" for its user itself. */
  readonly as: string;
}

/** A HELLO that is in order, or what is wrong with it. */
export type HelloReading =
  | { readonly ok: true; readonly hello: Hello }
  | { readonly ok: false; readonly reason: string; readonly unsupported: boolean };

/**
 * HELLO's body.
 *
 * @param hello what is left out is not narrowed; `kinds` is this build's
 */
export function helloBody(hello: Partial<Hello> & Pick<Hello, "name">): Uint8Array {
  const {
    name,
    sources = ALL_SOURCES,
    prioMin = PRIO.BULK,
    endpoints = NO_ENDPOINTS,
    kinds = KIND_MAX,
    as = "",
  } = hello;
  return encode({
    proto: PROTOCOL,
    name,
    sub: { sources, prio_min: prioMin, endpoints: maskToBigInt(endpoints) },
    kinds,
    ...(as === "" ? {} : { as }),
  });
}

/**
 * Reads a HELLO's body. Absent parts of `sub` want everything; keys that it does not know are left alone.
 * Never throws, whatever the body is.
 */
export function readHello(body: Uint8Array): HelloReading {
  let map: unknown;
  try {
    map = decodeBounded(body, BOUNDS);
  } catch (error) {
    return bad(`HELLO is not valid CBOR: ${messageOf(error)}`);
  }
  if (!isMap(map)) return bad("HELLO is not a CBOR map");
  if (map["proto"] !== PROTOCOL) {
    return {
      ok: false,
      unsupported: true,
      reason: `this daemon speaks protocol ${PROTOCOL}, not ${quoted(map["proto"])}`,
    };
  }
  const name = map["name"] ?? "";
  if (typeof name !== "string") return bad("HELLO: name is not text");
  const sub = map["sub"] ?? {};
  if (!isMap(sub)) return bad("HELLO: sub is not a map");
  const sources = sub["sources"] ?? ALL_SOURCES;
  if (!isU32(sources)) return bad("HELLO: sub.sources is not a 32-bit mask");
  const prioMin = sub["prio_min"] ?? PRIO.BULK;
  if (!isU32(prioMin) || prioMin >= PRIO_COUNT) {
    return bad("HELLO: sub.prio_min is not a priority from 0 to 3");
  }
  const endpoints = maskFromCbor(sub["endpoints"] ?? 0);
  if (endpoints === undefined) return bad("HELLO: sub.endpoints is not a 64-bit mask");
  // Whatever else stands there: a peer of before this key may have used it for something of its own.
  const kinds = isU32(map["kinds"]) ? map["kinds"] : 0;
  // Never left alone: who asks to be less than its user must not be taken for its user.
  const as = map["as"] ?? "";
  if (typeof as !== "string") return bad("HELLO: as is not text");
  const defect = as === "" ? "" : principalDefect(as);
  if (defect !== "") return bad(`HELLO: as is ${quoted(as)}, and ${defect}`);
  const hello = {
    name: cut(name, MAX_CONTROL_NAME_BYTES),
    sources,
    prioMin: prioMin as Prio,
    endpoints,
    kinds,
    as,
  };
  return { ok: true, hello };
}

function bad(reason: string): HelloReading {
  return { ok: false, unsupported: false, reason };
}
