/**
 * The opening of a connection in terms of names: sources of the subscription, capabilities of the grant, and
 * a refusal as a fault. The wire format is in `src/protocol/`.
 * @module
 */
import { maskOf } from "../access/grant.ts";
import { printable } from "../base/printable.ts";
import { principalDefect } from "../base/principal_name.ts";
import { codeName } from "../base/codes.ts";
import { Fault, type FaultCode } from "../base/fault.ts";
import { capNames } from "../event/capability.ts";
import type { Prio } from "../event/priority.ts";
import { sourceByName, type SourceName } from "../event/source.ts";
import type { Hello } from "../protocol/hello.ts";
import { readRefused, readWelcome, type Welcome as WireWelcome } from "../protocol/welcome.ts";

/**
 * Which broadcast events a control wants; omitted properties do not restrict. Answers to its commands arrive
 * in any case.
 */
export interface SubscribeOptions {
  /** Sources, by name (any case). An empty list: no broadcast events, not even the roster. */
  readonly sources?: readonly (SourceName | Lowercase<SourceName>)[];
  /** The lowest priority class that is wanted (0 bulk … 3 urgent). */
  readonly prioMin?: Prio;
  /** Endpoints, by number; an empty list means all. */
  readonly endpoints?: readonly number[];
}

/** What the daemon grants: the effective rights of this connection. */
export interface Welcome extends WireWelcome {
  /** The names of its capabilities. */
  readonly capNames: readonly string[];
}

/**
 * The properties that a control announces.
 *
 * @param as the principal it speaks for, "token:alice"; "" for its user itself
 * @throws {Fault} `bad-argument` for a source that does not exist, or a principal that is not valid
 */
export function helloOf(
  name: string,
  sub: SubscribeOptions,
  as = "",
): Partial<Hello> & Pick<Hello, "name"> {
  const defect = as === "" ? "" : principalDefect(as);
  if (defect !== "") {
    throw new Fault("bad-argument", `Cannot join as ${printable(as)}: a principal ${defect}`);
  }
  const endpoints = maskOf(sub.endpoints ?? []);
  const prioMin = (sub.prioMin ?? 0) as Prio;
  if (sub.sources === undefined) return { name, prioMin, endpoints, as };
  let sources = 0;
  for (const source of sub.sources) {
    const number = sourceByName(source);
    if (number === undefined) {
      throw new Fault("bad-argument", `Cannot subscribe to source ${source}: there is none of this name`);
    }
    sources |= 1 << number;
  }
  return { name, sources, prioMin, endpoints, as };
}

/**
 * The grant in a WELCOME.
 *
 * @param as the principal named in the HELLO
 * @throws {Fault} `protocol-error` when it violates the protocol; `not-supported` when the daemon does not
 *   know principals by name and admitted this control as its user
 */
export function welcomeOf(body: Uint8Array, as = ""): Welcome {
  const welcome = readWelcome(body);
  if (welcome.as !== as) {
    throw new Fault(
      "not-supported",
      `Cannot join the bus as ${as}: this daemon knows no principals by name; update it`,
    );
  }
  return { ...welcome, capNames: capNames(welcome.caps) };
}

/**
 * The fault for a REFUSED.
 *
 * @throws {Fault} `protocol-error` when it violates the protocol
 */
export function refusalOf(body: Uint8Array, socket: string): Fault {
  const { code, reason } = readRefused(body);
  const name = code === undefined ? "refused" : codeName(code);
  const isKnown = code !== undefined && code > 0 && !name.startsWith("code-");
  const why = reason === "" ? name : reason;
  const remedy = name === "not-admitted" && !why.includes("[[admission]]")
    ? "; let the daemon's administrator add an [[admission]] rule for this user"
    : "";
  return new Fault(
    isKnown ? name as FaultCode : "refused",
    `Cannot join the bus at ${socket}: ${why}${remedy}`,
  );
}
