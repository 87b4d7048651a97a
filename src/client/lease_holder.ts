/**
 * The owner of a lease, or the control that took it, as reported by the daemon.
 * @module
 */
import { type ControlId, NO_CONTROL } from "../base/ids.ts";
import { printable } from "../base/printable.ts";
import { principalWords } from "../base/principal_name.ts";

/** A control that owns a lease, or took it. */
export interface LeaseHolder {
  /** The uid of its process. */
  readonly principal: number;
  /** The principal it speaks for, "token:alice"; "" for its user itself. */
  readonly as: string;
  /** Its number on the bus; 0: the daemon does not report it. */
  readonly control: ControlId;
}

/** Whether a class of leases is owned. */
export interface LeaseStatus {
  /** Whether it is. */
  readonly busy: boolean;
  /** The owner's uid; 0 for nobody, or for root. */
  readonly ownerPrincipal: number;
  /** The owner; omitted: nobody. */
  readonly owner?: LeaseHolder;
}

/** A holder as text that is safe to show: "token:alice (uid 1000)", or "uid 1000". */
export function holderWords({ principal, as }: LeaseHolder): string {
  return principalWords(principal, printable(as));
}

/**
 * The holder named in an event; undefined if it names none.
 *
 * @param control its number, as the event has it
 */
export function holderOf(principal: number, control: number, as: string): LeaseHolder | undefined {
  return control === NO_CONTROL ? undefined : { principal, control: control as ControlId, as };
}
