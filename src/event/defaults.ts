/**
 * What a kind has by default: the seam it belongs to and its priority (contract, section 1). Tables indexed by kind,
 * because the core looks both up for every event.
 * @module
 */
import { KIND, KIND_MAX } from "./kind.ts";
import { PRIO } from "./priority.ts";
import { SOURCE } from "./source.ts";

/** Direction of travel, as numbers travel. */
export const DIR = { UP: 0, DOWN: 1 } as const;
/** A direction's number. */
export type Dir = (typeof DIR)[keyof typeof DIR];

/** Kind to the seam it crosses; 0 where several seams emit it and the emitter says which. */
export const SOURCE_OF_KIND: Uint8Array = new Uint8Array(KIND_MAX);
/** Kind to its default priority, when broadcast. */
export const PRIO_OF_KIND: Uint8Array = new Uint8Array(KIND_MAX).fill(PRIO.NORMAL);

const sources: readonly (readonly [number, number])[] = [
  [KIND.CURSOR_STATE, SOURCE.FRAME],
  [KIND.FRAME_INFO, SOURCE.FRAME],
  [KIND.VGPU_STATUS, SOURCE.FRAME],
  [KIND.FRAME_RING, SOURCE.FRAME],
  [KIND.VM_LIFECYCLE, SOURCE.VMHOST],
  [KIND.LEASE_GRANTED, SOURCE.CORE],
  [KIND.LEASE_DENIED, SOURCE.CORE],
  [KIND.LEASE_RELEASED, SOURCE.CORE],
  [KIND.LEASE_REVOKED, SOURCE.CORE],
  [KIND.LEASE_STATUS, SOURCE.CORE],
  [KIND.INPUT_HELD, SOURCE.INPUT],
  [KIND.CMD_INPUT, SOURCE.INPUT],
  [KIND.CMD_QUERY_INPUT, SOURCE.INPUT],
  // Lifecycle is the input role's in the seed header, but what carries it out is the VM's host plane.
  [KIND.CMD_LIFECYCLE, SOURCE.VMHOST],
  [KIND.CMD_VM, SOURCE.VMHOST],
  [KIND.CMD_ACQUIRE, SOURCE.CORE],
  [KIND.CMD_RELEASE, SOURCE.CORE],
  [KIND.CMD_LEASE_STATUS, SOURCE.CORE],
  [KIND.MEMCTX, SOURCE.MEMCTX],
  [KIND.MEMCTX_INVALIDATED, SOURCE.MEMCTX],
  [KIND.CMD_MEMWRITE, SOURCE.MEMCTX],
  [KIND.ROSTER, SOURCE.CORE],
  [KIND.AUDIT, SOURCE.CORE],
  [KIND.OVERRUN, SOURCE.CORE],
];
for (const [kind, source] of sources) SOURCE_OF_KIND[kind] = source;

const urgent = [KIND.SEAM_DOWN, KIND.ERROR, KIND.MEMCTX_INVALIDATED, KIND.LEASE_REVOKED, KIND.OVERRUN];
for (const kind of [...urgent, KIND.VM_LIFECYCLE]) PRIO_OF_KIND[kind] = PRIO.URGENT;
const high = [
  KIND.CMD_INPUT,
  KIND.LEASE_GRANTED,
  KIND.LEASE_DENIED,
  KIND.LEASE_RELEASED,
  KIND.LEASE_STATUS,
];
for (const kind of high) PRIO_OF_KIND[kind] = PRIO.HIGH;
for (const kind of [KIND.FRAME_INFO, KIND.CURSOR_STATE, KIND.AUDIT]) PRIO_OF_KIND[kind] = PRIO.BULK;

/**
 * The default priority of an event.
 *
 * @param kind its kind
 * @param addressed whether it answers one control: an addressed VM_LIFECYCLE is an answer, not an alarm
 */
export function defaultPrio(kind: number, addressed: boolean): number {
  if (kind === KIND.VM_LIFECYCLE && addressed) return PRIO.HIGH;
  return PRIO_OF_KIND[kind] ?? PRIO.NORMAL;
}

/** Whether an event of this kind says nothing that the next one of its endpoint does not say as well: the context folds it without being told to. */
export function isNewestOnly(kind: number): boolean {
  return kind === KIND.FRAME_INFO;
}
