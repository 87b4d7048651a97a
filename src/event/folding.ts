/**
 * Which urgent events make an older one of their endpoint meaningless: what they tell is how things stand, and only the newest of it is so. Whoever queues more of them than
 * anybody can need folds them by this rule: the older one goes, the newer one keeps its place behind all that came before it.
 *
 * - VM_LIFECYCLE: a state folds a state. RESET and POWERDOWN are happenings and fold only their like: RESET, then RUNNING stays both.
 * - ERROR folds one of the same code, SEAM_UP and SEAM_DOWN their like, all of the same seam; MEMCTX_INVALIDATED its like: no epoch before the newest is valid.
 *
 * What is addressed to one control is an answer or concerns its leases, and is never folded. Ordinary bursts are told whole: how many must wait before
 * anything is folded is the queue's business.
 * @module
 */
import { VM_STATE_NUMBER } from "./body_number.ts";
import { KIND } from "./kind.ts";
import type { TransferEvent } from "./transfer_event.ts";

/** Whether a kind folds at all: asked for every event, so that {@linkcode folds} is asked for few. */
export function mayFold(event: TransferEvent): boolean {
  if (event.origin !== 0) return false;
  switch (event.kind) {
    case KIND.VM_LIFECYCLE:
    case KIND.ERROR:
    case KIND.SEAM_UP:
    case KIND.SEAM_DOWN:
    case KIND.MEMCTX_INVALIDATED:
      return true;
    default:
      return false;
  }
}

/** Whether `later`, for which {@linkcode mayFold} holds, makes `earlier` meaningless. */
export function folds(later: TransferEvent, earlier: TransferEvent): boolean {
  if (
    earlier.kind !== later.kind || earlier.endpoint !== later.endpoint || earlier.source !== later.source ||
    earlier.origin !== 0
  ) return false;
  switch (later.kind) {
    case KIND.VM_LIFECYCLE:
      return happeningOf(earlier) === happeningOf(later);
    case KIND.ERROR:
      return earlier.words[0] === later.words[0];
    default:
      return true;
  }
}

/** RESET and POWERDOWN as they are; 0 for every state that a VM can be in. */
function happeningOf(event: TransferEvent): number {
  const state = event.words[0] as number;
  return state === VM_STATE_NUMBER.RESET || state === VM_STATE_NUMBER.POWERDOWN ? state : 0;
}
