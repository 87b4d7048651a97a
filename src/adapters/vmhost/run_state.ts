/**
 * QEMU's words as the protocol's numbers: run states of query-status, causes of SHUTDOWN and RESET, actions
 * of the watchdog. Words that a younger QEMU adds become "unknown" and "none", never an error.
 * @module
 */
import { MIGRATION_WAY, type MigrationWay, VM_DETAIL, VM_STATE_NUMBER } from "../../event/body_number.ts";

/** A VM's state and QEMU's reason for it, in the protocol's numbers. */
export interface VmState {
  /** One of VM_STATE_NUMBER. */
  readonly state: number;
  /** One of VM_DETAIL. */
  readonly detail: number;
  /** Which way it migrates, or went; NONE when left out. */
  readonly migration?: MigrationWay;
}

const { RUNNING, PAUSED, SHUTDOWN, CRASHED, UNKNOWN, SUSPENDED } = VM_STATE_NUMBER;
const { INCOMING, OUTGOING, LEFT } = MIGRATION_WAY;

// QEMU's RunState (qapi/run-state.json).
const RUN_STATES: ReadonlyMap<string, VmState> = new Map([
  ["running", { state: RUNNING, detail: VM_DETAIL.NONE }],
  ["paused", { state: PAUSED, detail: VM_DETAIL.HOST_REQUEST }],
  ["prelaunch", { state: PAUSED, detail: VM_DETAIL.HOST_REQUEST }],
  ["debug", { state: PAUSED, detail: VM_DETAIL.HOST_REQUEST }],
  ["save-vm", { state: PAUSED, detail: VM_DETAIL.HOST_REQUEST }],
  ["restore-vm", { state: PAUSED, detail: VM_DETAIL.HOST_REQUEST }],
  ["inmigrate", { state: PAUSED, detail: VM_DETAIL.MIGRATION, migration: INCOMING }],
  ["finish-migrate", { state: PAUSED, detail: VM_DETAIL.MIGRATION, migration: OUTGOING }],
  ["postmigrate", { state: PAUSED, detail: VM_DETAIL.MIGRATION, migration: LEFT }],
  ["colo", { state: PAUSED, detail: VM_DETAIL.MIGRATION, migration: OUTGOING }],
  ["io-error", { state: PAUSED, detail: VM_DETAIL.IO_ERROR }],
  ["watchdog", { state: PAUSED, detail: VM_DETAIL.WATCHDOG }],
  ["suspended", { state: SUSPENDED, detail: VM_DETAIL.GUEST_REQUEST }],
  ["guest-panicked", { state: CRASHED, detail: VM_DETAIL.PANIC }],
  ["internal-error", { state: CRASHED, detail: VM_DETAIL.NONE }],
  ["shutdown", { state: SHUTDOWN, detail: VM_DETAIL.NONE }],
]);
const UNKNOWN_STATE: VmState = { state: UNKNOWN, detail: VM_DETAIL.NONE };

// QEMU's ShutdownCause, which SHUTDOWN and RESET carry as `reason`.
const CAUSES: ReadonlyMap<unknown, number> = new Map<unknown, number>([
  ["host-qmp-quit", VM_DETAIL.HOST_REQUEST],
  ["host-qmp-system-reset", VM_DETAIL.HOST_REQUEST],
  ["host-ui", VM_DETAIL.HOST_REQUEST],
  ["snapshot-load", VM_DETAIL.HOST_REQUEST],
  ["host-signal", VM_DETAIL.HOST_SIGNAL],
  ["guest-shutdown", VM_DETAIL.GUEST_REQUEST],
  ["guest-reset", VM_DETAIL.GUEST_REQUEST],
  ["guest-panic", VM_DETAIL.PANIC],
]);

/** What a run state of query-status means. */
export function vmStateOf(runState: string): VmState {
  return RUN_STATES.get(runState) ?? UNKNOWN_STATE;
}

/** What the `reason` of SHUTDOWN or RESET means; NONE for an unknown one. */
export function detailOfCause(reason: unknown): number {
  return CAUSES.get(reason) ?? VM_DETAIL.NONE;
}
