/**
 * What a model is told when a tool fails: the code, what cannot be done and why, and what to do next.
 * @module
 */
import { Fault, type FaultCode, messageOf } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import { forModel } from "./model_words.ts";

/** Characters of a message. */
const MOST_TEXT = 4000;

const REMEDIES: Partial<Record<FaultCode, string>> = {
  "busy": "Try again later; for keyboard and mouse, call lease_take with wait_s to wait for your turn",
  "no-lease": "Call lease_take first",
  "stale-lease":
    "Keyboard and mouse were taken by another control; call lease_take with wait_s to wait for your turn",
  "no-endpoint": "Call list_vms to see which VMs there are",
  "no-capability": "This server's grant lacks that; do without it, or ask the user to have it granted",
  "outside-grant": "This server's grant lacks that VM; call list_vms",
  "bad-argument": "Correct the arguments and call again",
  "timed-out": "Take a screenshot to see how things are before you try again",
  "seam-down": "The VM may be off, or starting: call list_vms, or wait with ready",
  "unreachable": "The vmsig daemon cannot be reached now; try again in some seconds, or tell the user",
  "too-large": "Ask for less at once",
  "not-mapped": "Nothing is at that address in the guest; check it, and the process",
  "not-supported": "Do without it",
  "missing": "The host lacks that; do without it, or tell the user",
  "shutting-down": "The daemon is ending; try again in some seconds, or tell the user",
  "not-admitted": "Tell the user: the daemon's config does not let this server in",
};

/** A tool's failure, in words. */
export function faultText(error: unknown): string {
  const text = forModel(printable(messageOf(error)).slice(0, MOST_TEXT));
  if (!(error instanceof Fault)) return `failed: ${text}`;
  const remedy = REMEDIES[error.code];
  return `${error.code}: ${text}${remedy === undefined ? "" : `. ${remedy}.`}`;
}
