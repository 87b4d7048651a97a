/**
 * Which command needs which capability and which lease, and which UP event a grant lets through (seed headers 000 and 001, contract section 1). Tables
 * and two small functions; the verdict's code is `admit.ts`'s.
 * @module
 */
import { LEASE_CLASS, LIFE, VM_OP } from "../event/body_number.ts";
import { CAP } from "../event/capability.ts";
import { KIND, KIND_MAX } from "../event/kind.ts";
import type { TransferEvent } from "../event/transfer_event.ts";

/** A command's capability when its operation is out of range: no bit, bad-argument. */
export const BAD_OPERATION = 0;
/** "No lease needed". */
export const NO_LEASE_CLASS: number = -1;

const LIFE_CAP: readonly number[] = [];
const VM_CAP: readonly number[] = [];
{
  const life = LIFE_CAP as number[];
  life[LIFE.POWERDOWN] = life[LIFE.RESET] = CAP.POWER;
  life[LIFE.WAKEUP] = life[LIFE.PAUSE] = life[LIFE.RESUME] = CAP.LIFECYCLE;
  const vm = VM_CAP as number[];
  vm[VM_OP.QUERY] = vm[VM_OP.CONT] = vm[VM_OP.STOP] = CAP.VM;
  vm[VM_OP.RESET] = vm[VM_OP.POWERDOWN] = vm[VM_OP.QUIT] = CAP.POWER;
}

/** Lease class to the capability of its commands. */
export const CAP_OF_CLASS: readonly number[] = [CAP.INPUT, CAP.POWER, CAP.MEMWRITE];

/**
 * The capability a command needs. For CMD_ACQUIRE, CMD_RELEASE and CMD_LEASE_STATUS it is that of the class; any of the returned bits is enough (a
 * lease's status is also for whoever may observe).
 *
 * @returns a mask of which one bit must be granted; {@linkcode BAD_OPERATION} when the operation or class is out of range
 */
export function capsFor(command: TransferEvent): number {
  const first = command.words[0] as number;
  switch (command.kind) {
    case KIND.CMD_INPUT:
    case KIND.CMD_QUERY_INPUT:
      return CAP.INPUT;
    case KIND.CMD_LIFECYCLE:
      return LIFE_CAP[first] ?? BAD_OPERATION;
    case KIND.CMD_VM:
      return VM_CAP[first] ?? BAD_OPERATION;
    case KIND.CMD_MEMWRITE:
      return CAP.MEMWRITE;
    case KIND.CMD_ACQUIRE:
    case KIND.CMD_RELEASE:
      return CAP_OF_CLASS[first] ?? BAD_OPERATION;
    case KIND.CMD_LEASE_STATUS: {
      const cap = CAP_OF_CLASS[first];
      return cap === undefined ? BAD_OPERATION : cap | CAP.OBSERVE;
    }
    default:
      return BAD_OPERATION;
  }
}

/** The class of lease that a command must be sent under, or {@linkcode NO_LEASE_CLASS}. */
export function leaseClassFor(command: TransferEvent): number {
  switch (command.kind) {
    case KIND.CMD_INPUT:
      return LEASE_CLASS.INPUT;
    case KIND.CMD_MEMWRITE:
      return LEASE_CLASS.MEMWRITE;
    case KIND.CMD_LIFECYCLE:
    case KIND.CMD_VM:
      return capsFor(command) === CAP.POWER ? LEASE_CLASS.POWER : NO_LEASE_CLASS;
    default:
      return NO_LEASE_CLASS;
  }
}

/** UP kind to the capabilities of which any one lets it through; 0: addressed kinds, which reach their control alone. */
export const UP_CAPS: Int32Array = new Int32Array(KIND_MAX);
for (
  const kind of [
    KIND.SEAM_UP,
    KIND.SEAM_DOWN,
    KIND.ERROR,
    KIND.VM_LIFECYCLE,
    KIND.FRAME_INFO,
    KIND.VGPU_STATUS,
  ]
) {
  UP_CAPS[kind] = CAP.OBSERVE;
}
UP_CAPS[KIND.CURSOR_STATE] = CAP.OBSERVE | CAP.INPUT;
UP_CAPS[KIND.MEMCTX] = UP_CAPS[KIND.MEMCTX_INVALIDATED] = CAP.MEMCTX;
UP_CAPS[KIND.ROSTER] = CAP.ROSTER;
UP_CAPS[KIND.FRAME_RING] = CAP.FRAME;
UP_CAPS[KIND.AUDIT] = CAP.AUDIT;

/** UP kinds that a control with PUBLISH may emit. */
export const PUBLISHABLE: ReadonlySet<number> = new Set<number>([
  KIND.CURSOR_STATE,
  KIND.FRAME_INFO,
  KIND.VGPU_STATUS,
  KIND.FRAME_RING,
]);
