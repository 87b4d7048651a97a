/**
 * Which urgent events of a flood make an older one of their endpoint meaningless: what they tell is how
 * things stand, and only the newest of it is so. The older one goes, the newer one keeps its place behind all
 * that came before it.
 *
 * - VM_LIFECYCLE: a state folds a state. RESET and POWERDOWN are happenings and fold only their like: RESET,
 *   then RUNNING stays both.
 * - ERROR folds one of the same code and seam.
 *
 * What is addressed to one control is an answer or concerns its leases, and is never folded. What a seam
 * tells within its budget is told whole by the queues, too: they fold only what is marked as excess
 * (core/seam_throttle.ts).
 * @module
 */
import { VM_STATE_NUMBER } from "./body_number.ts";
import { KIND } from "./kind.ts";
import type { TransferEvent } from "./transfer_event.ts";

/** Whether an event folds at all. */
export function mayFold(event: TransferEvent): boolean {
  return event.origin === 0 && (event.kind === KIND.VM_LIFECYCLE || event.kind === KIND.ERROR);
}

/** Whether `later`, for which {@linkcode mayFold} holds, makes `earlier` meaningless. */
export function folds(later: TransferEvent, earlier: TransferEvent): boolean {
  if (
    earlier.kind !== later.kind || earlier.endpoint !== later.endpoint || earlier.source !== later.source ||
    earlier.origin !== 0
  ) return false;
  return later.kind === KIND.VM_LIFECYCLE
    ? happeningOf(earlier) === happeningOf(later)
    : earlier.words[0] === later.words[0];
}

/** RESET and POWERDOWN as they are; 0 for every state that a VM can be in. */
function happeningOf(event: TransferEvent): number {
  const state = event.words[0] as number;
  return state === VM_STATE_NUMBER.RESET || state === VM_STATE_NUMBER.POWERDOWN ? state : 0;
}
