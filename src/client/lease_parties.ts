/**
 * Who has a lease, who waits for it, and why: LEASE_WHO, as a client reads it. It contains text of other
 * controls: checked and bounded here, escaped where it is shown.
 * @module
 */
import type { ControlId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import { oneLine, printable } from "../base/printable.ts";
import { decodeBounded, EVENT_CBOR } from "../event/bounded_cbor.ts";
import { LEASE_CLASS_NAMES, type LeaseClass } from "../event/body_number.ts";
import { KIND } from "../event/kind.ts";
import type { ClientEvent } from "./client_event.ts";
import type { LeaseClassName } from "./lease.ts";
import { holderWords, type LeaseHolder } from "./lease_holder.ts";

/** Characters of a name or a message that are kept. */
const MOST_TEXT = 256;
/** Of those who wait so many are kept. */
const MOST_WAITING = 64;

/** Who has a lease, or waits for it. */
export interface LeaseParty extends LeaseHolder {
  /** What the control calls itself. */
  readonly name: string;
  /** Why it wants it; "" when it does not say. */
  readonly message: string;
  /** Since when it has it, or waits: ns of CLOCK_MONOTONIC. */
  readonly sinceNs: number;
}

/** Who has a lease, and who waits for it. */
export interface LeaseParties {
  /** The class. */
  readonly className: LeaseClassName;
  /** Who has it; undefined: nobody. */
  readonly owner: LeaseParty | undefined;
  /** Who waits, who gets it next first. */
  readonly waiting: readonly LeaseParty[];
  /** How many wait beside those. */
  readonly more: number;
}

/**
 * Reads a LEASE_WHO.
 *
 * @returns undefined for an event of another kind
 * @throws {Fault} `protocol-error` when it is not what the protocol says
 */
export function leasePartiesOf(event: ClientEvent): LeaseParties | undefined {
  if (event.kind !== KIND.LEASE_WHO) return undefined;
  const className = LEASE_CLASS_NAMES[(event.as("LEASE_WHO")?.cls ?? -1) as LeaseClass];
  const body = mapOf(decodeBounded(event.body, EVENT_CBOR));
  const waiting = body?.["waiting"];
  const more = body?.["more"];
  if (className === undefined || !Array.isArray(waiting) || typeof more !== "number") throw notUnderstood();
  return {
    className: className as LeaseClassName,
    owner: body?.["owner"] === null ? undefined : partyOf(body?.["owner"]),
    waiting: waiting.slice(0, MOST_WAITING).map(partyOf),
    more,
  };
}

/** A party in words that may be shown: who, and why. */
export function partyWords(party: LeaseParty): string {
  const why = party.message === "" ? "" : `: "${oneLine(printable(party.message))}"`;
  return `${holderWords(party)}${why}`;
}

/** All of them in words that may be shown. */
export function partiesWords({ className, owner, waiting, more }: LeaseParties): string {
  const words = [owner === undefined ? "free" : `owned by ${partyWords(owner)}`];
  for (const each of waiting) words.push(`${partyWords(each)} waits`);
  if (more > 0) words.push(`${more} more wait`);
  return `${className} ${words.join("; ")}`;
}

function partyOf(value: unknown): LeaseParty {
  const map = mapOf(value);
  const { principal, as = "", control, name, message, since } = map ?? {};
  if (typeof principal !== "number" || typeof control !== "number" || typeof since !== "number") {
    throw notUnderstood();
  }
  if (typeof as !== "string" || typeof name !== "string" || typeof message !== "string") {
    throw notUnderstood();
  }
  const cut = (text: string) => text.slice(0, MOST_TEXT);
  return {
    principal,
    as: cut(as),
    control: control as ControlId,
    name: cut(name),
    message: cut(message),
    sinceNs: since,
  };
}

function mapOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
  return isMap ? value as Record<string, unknown> : undefined;
}

function notUnderstood(): Fault {
  return new Fault(
    "protocol-error",
    "Cannot understand the daemon: its LEASE_WHO is not one; use a client and a daemon of the same version",
  );
}
