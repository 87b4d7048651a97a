/**
 * Who has a lease, or took it, as the daemon tells.
 * @module
 */
import { type ControlId, NO_CONTROL } from "../base/ids.ts";
import { printable } from "../base/printable.ts";
import { principalWords } from "../base/principal_name.ts";

/** A control that has a lease, or took it. */
export interface LeaseHolder {
  /** The uid of its process. */
  readonly principal: number;
  /** For whom that speaks, "token:alice"; "" for its user itself. */
  readonly as: string;
  /** Its number on the bus; 0: the daemon is older than saying so. */
  readonly control: ControlId;
}

/** Whether a class of leases is owned. */
export interface LeaseStatus {
  /** Whether it is. */
  readonly busy: boolean;
  /** The owner's uid; 0 for nobody, and for root. */
  readonly ownerPrincipal: number;
  /** Who owns it; left out: nobody. */
  readonly owner?: LeaseHolder;
}

/** A holder in words that may be shown: "token:alice (uid 1000)", or "uid 1000". */
export function holderWords({ principal, as }: LeaseHolder): string {
  return principalWords(principal, printable(as));
}

/**
 * The holder that an event names; undefined when it names none.
 *
 * @param control its number, as the event has it
 */
export function holderOf(principal: number, control: number, as: string): LeaseHolder | undefined {
  return control === NO_CONTROL ? undefined : { principal, control: control as ControlId, as };
}
