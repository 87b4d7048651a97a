/**
 * The numbers inside inline bodies: lease classes and denials, VM states and operations, reasons. See
 * PROTOCOL.md.
 * @module
 */

export { LEASE_CLASS, LEASE_CLASS_COUNT, LEASE_CLASS_NAMES, type LeaseClass } from "./lease_class.ts";

/** Why a lease is denied (LEASE_DENIED.reason). */
export const LEASE_DENY = {
  HELD: 0,
  NOCAP: 1,
  NOGRANT: 2,
  BADCLASS: 3,
  LOWER_PRIO: 4,
  WITHDRAWN: 5,
} as const;
/** LEASE_DENIED.reason. */
export type LeaseDenial = (typeof LEASE_DENY)[keyof typeof LEASE_DENY];
/** Why a lease was taken away (LEASE_REVOKED.reason). */
export const LEASE_REVOKE = { PREEMPTED: 0, OWNER_GONE: 1, ENDPOINT_GONE: 2, NOT_KEPT_ALIVE: 3 } as const;
/** LEASE_REVOKED.reason. */
export type LeaseRevocation = (typeof LEASE_REVOKE)[keyof typeof LEASE_REVOKE];

/** Operations of CMD_LIFECYCLE. */
export const LIFE = { POWERDOWN: 0, RESET: 1, WAKEUP: 2, PAUSE: 3, RESUME: 4 } as const;
/** Operations of CMD_VM. */
export const VM_OP = { QUERY: 0, CONT: 1, STOP: 2, RESET: 3, POWERDOWN: 4, QUIT: 5 } as const;

/** Operations of CMD_SNAPSHOT, and what a SNAPSHOT is about. */
export const SNAPSHOT_OP = { LIST: 0, SAVE: 1, LOAD: 2, DELETE: 3 } as const;
/** An operation's number. */
export type SnapshotOp = (typeof SNAPSHOT_OP)[keyof typeof SNAPSHOT_OP];
/** Operation number to its name. */
export const SNAPSHOT_OP_NAMES: readonly string[] = ["list", "save", "load", "delete"];
/** SNAPSHOT.state. */
export const SNAPSHOT_STATE = { RUNNING: 0, DONE: 1, FAILED: 2 } as const;
/** State number to its name. */
export const SNAPSHOT_STATE_NAMES: readonly string[] = ["running", "done", "failed"];

/** Which way a VM migrates: MIGRATION.way, VM_LIFECYCLE.migration. LEFT: it has left this host. */
export const MIGRATION_WAY = { NONE: 0, INCOMING: 1, OUTGOING: 2, LEFT: 3 } as const;
/** A way's number. */
export type MigrationWay = (typeof MIGRATION_WAY)[keyof typeof MIGRATION_WAY];
/** Way number to its name. */
export const MIGRATION_WAY_NAMES: readonly string[] = ["none", "incoming", "outgoing", "left"];

/** States of VM_LIFECYCLE. */
export const VM_STATE_NUMBER = {
  RUNNING: 0,
  PAUSED: 1,
  SHUTDOWN: 2,
  RESET: 3,
  POWERDOWN: 4,
  CRASHED: 5,
  UNKNOWN: 6,
  SUSPENDED: 7,
} as const;
/** State number to its name. */
export const VM_STATE_NAMES: readonly string[] = Object.keys(VM_STATE_NUMBER).map((name) =>
  name.toLowerCase()
);
/** QEMU's reason behind a state (VM_LIFECYCLE.detail). */
export const VM_DETAIL = {
  NONE: 0,
  HOST_REQUEST: 1,
  GUEST_REQUEST: 2,
  HOST_SIGNAL: 3,
  PANIC: 4,
  WATCHDOG: 5,
  IO_ERROR: 6,
  MIGRATION: 7,
} as const;
/** Detail number to its name. */
export const VM_DETAIL_NAMES: readonly string[] = Object.keys(VM_DETAIL).map((name) =>
  name.toLowerCase().replace("_", "-")
);

/** Why a seam came up or went down. */
export const SEAM_REASON = {
  ASKED: 0,
  PEER_CLOSED: 1,
  HEARTBEAT_STALE: 2,
  PROTOCOL_ERROR: 3,
  NO_PERMISSION: 4,
  PROCESS_GONE: 5,
  MIGRATED: 6,
} as const;
/** SEAM_UP.reason, SEAM_DOWN.reason. */
export type SeamReason = (typeof SEAM_REASON)[keyof typeof SEAM_REASON];

/** Kinds of an input record. */
export const INPUT_KIND = { ABS: 0, REL: 1, BTN: 2, KEY: 3, SCROLL: 4 } as const;
/** INPUT_HELD.flags: more is held than ten entries can tell. */
export const INPUT_HELD_TRUNC = 0x1;
/** Entries of one INPUT_HELD. */
export const INPUT_HELD_ENTRIES = 10;

/** CMD_MEMWRITE.flags. */
export const MEMWRITE_FLAG = { INLINE: 0x1, PAYLOAD: 0x2, CR3: 0x4, SEQLOCK: 0x8 } as const;

/** MEMCTX.flags: the guest separates user and kernel tables (KPTI, KVA shadow). */
export const MEMCTX_KPTI = 0x1;
/** MEMCTX.flags: first bit of those that tell page tables of one architecture and as many levels apart. */
export const MEMCTX_VARIANT_SHIFT = 16;
/** MEMCTX.flags: first bit of the eight that name the guest's architecture (src/guest/paging.ts). */
export const MEMCTX_ARCHITECTURE_SHIFT = 8;
/** Why an epoch ended (MEMCTX_INVALIDATED.reason). */
export const INVALIDATED = {
  RESET: 0,
  ENDPOINT_GONE: 1,
  KERNEL_CHANGED: 2,
  MAP_CHANGED: 3,
  RAM_REPLACED: 4,
} as const;
/** MEMCTX_INVALIDATED.reason. */
export type Invalidation = (typeof INVALIDATED)[keyof typeof INVALIDATED];

/** ROSTER.state. */
export const ROSTER_STATE = { GONE: 0, ATTACHING: 1, UP: 2, DOWN: 3 } as const;
/** Roster state number to the name that the commands print. */
export const ROSTER_STATE_NAMES: readonly string[] = ["gone", "attaching", "up", "down"];

/** VGPU_STATUS.state. */
export const VGPU_STATE = { LOST: 0, CANDIDATE: 1, ALIVE: 2 } as const;
/** What a head's pictures come from (FRAME_INFO.source). */
export const FRAME_SOURCE = { VGPU: 1, SCREENDUMP: 2, VRAM: 3, DBUS: 4, VNC: 5 } as const;
/** What configs and commands call one. */
export type FrameSourceName = Lowercase<keyof typeof FRAME_SOURCE>;
/** FRAME_INFO.source. */
export type FrameSourceNumber = (typeof FRAME_SOURCE)[keyof typeof FRAME_SOURCE];
/** FRAME_INFO.flags: the VM does not run; it is the last picture. */
export const FRAME_STOPPED = 0x1;
/** Operations of CMD_FRAME. */
export const FRAME_OP = { ONCE: 0, WATCH: 1, UNWATCH: 2, TEXT: 3, STATUS: 4 } as const;
/** FRAME_DEMAND.flags: the VM does not run. */
export const DEMAND_STOPPED = 0x1;
/** FRAME_DEMAND.flags: somebody waits for one picture. */
export const DEMAND_PICTURE = 0x2;
/** FRAME_DEMAND.flags: somebody waits for the text. */
export const DEMAND_TEXT = 0x4;
/**
 * FRAME_DEMAND.flags: from this bit on, how often the head's device was removed or became another one. When
 * the number changes, what was known of the head's displays does not hold any more.
 */
export const DEMAND_DEVICE_SHIFT = 16;
/** FRAME_DEMAND.flags: the bits of that number, which wraps. */
export const DEMAND_DEVICE_MASK = 0xffff;
/** Operations of CMD_DISPLAY. */
export const DISPLAY_OP = { SERVED: 0, HEADS: 1, DUMP: 2, OPEN: 3, VGA: 4, SOURCE: 5 } as const;
/** Operations of CMD_CONSOLE. */
export const CONSOLE_OP = { LIST: 0, READ: 1, OPEN: 2, CLOSE: 3 } as const;
/** CMD_CONSOLE.flags of a read: from what comes next, whatever `offset` says. */
export const CONSOLE_FROM_NOW = 0x1;
/** CMD_CONSOLE.flags of a read: the guest waits rather than that this reader loses bytes. */
export const CONSOLE_LOSSLESS = 0x2;
/** CONSOLE_OUT.flags: the console is closed, and there is nothing after these bytes yet. */
export const CONSOLE_CLOSED = 0x1;
