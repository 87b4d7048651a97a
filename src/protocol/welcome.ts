/**
 * WELCOME and REFUSED, the daemon's part of joining (src/event/PROTOCOL.md). Written by the daemon, read
 * by the client library and by perception.
 * @module
 */
import type { Code } from "../base/codes.ts";
import { encode } from "cborg";
import { Fault } from "../base/fault.ts";
import type { ControlId } from "../base/ids.ts";
import { oneLine } from "../base/printable.ts";
import { decodeBounded, EVENT_CBOR } from "../event/bounded_cbor.ts";
import { type EndpointMask, maskFromCbor, maskToBigInt } from "../event/endpoint_mask.ts";
import { type CborMap, isMap, isUint } from "./cbor_field.ts";
import { PROTOCOL } from "./version.ts";

/** Characters of a REFUSED's reason: whatever it quotes, the frame can be sent. */
const MOST_REASON = 512;

/** What the daemon grants a connection: what grant and subscription leave together. */
export interface Welcome {
  /** The control's number. */
  readonly control: ControlId;
  /** Who the daemon takes it for: the uid. */
  readonly principal: number;
  /** Which endpoints. */
  readonly endpoints: EndpointMask;
  /** Which sources, bit 1 << source. */
  readonly sources: number;
  /** Capabilities, see `event/capability.ts`. */
  readonly caps: number;
  /** Its strength in lease arbitration. */
  readonly arbPrio: number;
  /**
   * One past the largest kind that the daemon knows; 0 = it does not say: it was not asked, or is older than
   * the question.
   */
  readonly kinds: number;
  /**
   * For whom the control's process speaks, as its HELLO asked; "" for its user itself. A daemon that does not
   * say it is older than the question, and took the control for its user.
   */
  readonly as: string;
}

/** Why a peer is not let in, as far as the daemon says. */
export interface Refused {
  /** One of the protocol's codes; undefined when what stands there is not a number. */
  readonly code: number | undefined;
  /** In words, outside text; "" when there are none. */
  readonly reason: string;
}

/** WELCOME's body. `kinds` 0 is left out: a peer that did not ask is told what it always was. */
export function welcomeBody(welcome: Welcome): Uint8Array {
  const { control, principal, endpoints, sources, caps, arbPrio, kinds, as } = welcome;
  return encode({
    proto: PROTOCOL,
    control,
    principal,
    endpoints: maskToBigInt(endpoints),
    sources,
    caps,
    arb_prio: arbPrio,
    ...(kinds === 0 ? {} : { kinds }),
    ...(as === "" ? {} : { as }),
  });
}

/**
 * Reads a WELCOME's body.
 *
 * @throws {Fault} `protocol-error` when it is not what the protocol says
 */
export function readWelcome(body: Uint8Array): Welcome {
  const map = mapOf(body);
  const uint = (key: string): number => {
    const value = map[key];
    if (!isUint(value)) throw notUnderstood(`its WELCOME has no ${key}`);
    return value;
  };
  const proto = uint("proto");
  if (proto !== PROTOCOL) throw notUnderstood(`it speaks protocol ${proto}, and this client ${PROTOCOL}`);
  const endpoints = maskFromCbor(map["endpoints"]);
  if (endpoints === undefined) throw notUnderstood("its WELCOME has no endpoints");
  return {
    control: uint("control") as ControlId,
    principal: uint("principal"),
    endpoints,
    sources: uint("sources"),
    caps: uint("caps"),
    arbPrio: uint("arb_prio"),
    kinds: isUint(map["kinds"]) ? map["kinds"] : 0,
    as: typeof map["as"] === "string" ? map["as"] : "",
  };
}

/** REFUSED's body. */
export function refusedBody(code: Code, reason: string): Uint8Array {
  return encode({ code, reason: oneLine(reason).slice(0, MOST_REASON) });
}

/**
 * Reads a REFUSED's body.
 *
 * @throws {Fault} `protocol-error` when it is not a CBOR map
 */
export function readRefused(body: Uint8Array): Refused {
  const { code, reason } = mapOf(body);
  return {
    code: isUint(code) ? code : undefined,
    reason: typeof reason === "string" ? reason : "",
  };
}

function mapOf(body: Uint8Array): CborMap {
  let value: unknown;
  try {
    value = decodeBounded(body, EVENT_CBOR);
  } catch (error) {
    throw notUnderstood("its answer is not valid CBOR", error);
  }
  if (!isMap(value)) throw notUnderstood("its answer is not a CBOR map");
  return value;
}

function notUnderstood(why: string, cause?: unknown): Fault {
  return new Fault(
    "protocol-error",
    `Cannot understand the daemon: ${why}; use a client and a daemon of the same version`,
    { cause },
  );
}
