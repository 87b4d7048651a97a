/**
 * Who owns a lease, who waits for it, and why: LEASE_WHO, as a client reads it. Its texts come from other
 * controls: they are checked and bounded here, and escaped where they are shown.
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

/** Characters kept of a name or a message. */
const MOST_TEXT = 256;
/** Number of waiting controls that are kept. */
const MOST_WAITING = 64;

/** A control that owns a lease, or waits for it. */
export interface LeaseParty extends LeaseHolder {
  /** The name that the control gave itself. */
  readonly name: string;
  /** Its reason; "" if it gave none. */
  readonly message: string;
  /** Since when it has owned the lease, or waited: ns of CLOCK_MONOTONIC. */
  readonly sinceNs: number;
}

/** The owner of a lease, and the controls that wait for it. */
export interface LeaseParties {
  /** The class. */
  readonly className: LeaseClassName;
  /** The owner; undefined: nobody. */
  readonly owner: LeaseParty | undefined;
  /** The waiting controls, the next one first. */
  readonly waiting: readonly LeaseParty[];
  /** Number of further waiting controls. */
  readonly more: number;
}

/**
 * Reads a LEASE_WHO.
 *
 * @returns undefined for an event of another kind
 * @throws {Fault} `protocol-error` when it violates the protocol
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

/** A party as text that is safe to show: its name and reason. */
export function partyWords(party: LeaseParty): string {
  const why = party.message === "" ? "" : `: "${oneLine(printable(party.message))}"`;
  return `${holderWords(party)}${why}`;
}

/** All parties as text that is safe to show. */
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
