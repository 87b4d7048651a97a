/**
 * HELLO, WELCOME and REFUSED: the CBOR maps that open a connection (src/event/PROTOCOL.md).
 * @module
 */
import { decodeBounded, EVENT_CBOR } from "../event/bounded_cbor.ts";
import { encode } from "cborg";
import { type EndpointMask, maskFromCbor, maskOf, maskToBigInt } from "../access/grant.ts";
import { codeName } from "../base/codes.ts";
import { Fault, type FaultCode } from "../base/fault.ts";
import { capNames } from "../event/capability.ts";
import { ALL_SOURCES, sourceByName, type SourceName } from "../event/source.ts";

/** The version of the protocol that this client speaks. */
export const PROTOCOL = 1;

/**
 * Which broadcast events a control wants at all; what is left out is not narrowed. Answers to its commands
 * come in any case.
 */
export interface SubscribeOptions {
  /** Sources, by name (any case). An empty list: no broadcast event at all, not even the roster. */
  readonly sources?: readonly (SourceName | Lowercase<SourceName>)[];
  /** Priority class from which on events are wanted (0 bulk … 3 urgent). */
  readonly prioMin?: number;
  /** Endpoints, by number; an empty list means all. */
  readonly endpoints?: readonly number[];
}

/** What the daemon grants: the effective rights of this connection. */
export interface Welcome {
  /** This control's number. */
  readonly control: number;
  /** Who the daemon takes it for: the uid. */
  readonly principal: number;
  /** Which endpoints. */
  readonly endpoints: EndpointMask;
  /** Which sources, bit 1 << source. */
  readonly sources: number;
  /** Capabilities, see `event/capability.ts`. */
  readonly caps: number;
  /** Their names. */
  readonly capNames: readonly string[];
  /** Its strength in lease arbitration. */
  readonly arbPrio: number;
}

/**
 * HELLO's body.
 *
 * @throws {Fault} `bad-argument` for a source that does not exist
 */
export function helloBody(name: string, sub: SubscribeOptions): Uint8Array {
  let sources = ALL_SOURCES;
  if (sub.sources !== undefined) {
    sources = 0;
    for (const source of sub.sources) {
      const number = sourceByName(source);
      if (number === undefined) {
        throw new Fault("bad-argument", `Cannot subscribe to source ${source}: there is none of this name`);
      }
      sources |= 1 << number;
    }
  }
  const endpoints = maskToBigInt(maskOf(sub.endpoints ?? []));
  return encode({
    proto: PROTOCOL,
    name,
    sub: { sources, prio_min: sub.prioMin ?? 0, endpoints },
  });
}

/**
 * WELCOME's body, checked.
 *
 * @throws {Fault} `protocol-error` when it is not what the protocol says
 */
export function welcomeOf(body: Uint8Array): Welcome {
  const map = mapOf(body);
  const uint = (key: string): number => {
    const value = map[key];
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
      throw notUnderstood(`its WELCOME has no ${key}`);
    }
    return value;
  };
  const proto = uint("proto");
  if (proto !== PROTOCOL) throw notUnderstood(`it speaks protocol ${proto}, and this client ${PROTOCOL}`);
  const endpoints = maskFromCbor(map["endpoints"]);
  if (endpoints === undefined) throw notUnderstood("its WELCOME has no endpoints");
  const caps = uint("caps");
  return {
    control: uint("control"),
    principal: uint("principal"),
    endpoints,
    sources: uint("sources"),
    caps,
    capNames: capNames(caps),
    arbPrio: uint("arb_prio"),
  };
}

/** The fault that a REFUSED becomes. */
export function refusalOf(body: Uint8Array, socket: string): Fault {
  const { code, reason } = mapOf(body);
  const name = typeof code === "number" ? codeName(code) : "refused";
  const known = typeof code === "number" && code > 0 && !name.startsWith("code-");
  const why = typeof reason === "string" && reason !== "" ? reason : name;
  const remedy = name === "not-admitted" && !why.includes("[[admission]]")
    ? "; let the daemon's administrator add an [[admission]] rule for this user"
    : "";
  return new Fault(
    known ? name as FaultCode : "refused",
    `Cannot join the bus at ${socket}: ${why}${remedy}`,
  );
}

function mapOf(body: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = decodeBounded(body, EVENT_CBOR);
  } catch (error) {
    throw notUnderstood("its answer is no CBOR", error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw notUnderstood("its answer is no CBOR map");
  }
  return value as Record<string, unknown>;
}

function notUnderstood(why: string, cause?: unknown): Fault {
  return new Fault(
    "protocol-error",
    `Cannot understand the daemon: ${why}; use a client and a daemon of the same version`,
    { cause },
  );
}
