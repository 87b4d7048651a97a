/**
 * The inline zone of each kind as a table: name, offset, type, in the contract's order (section 1, "Inline layouts", and the
 * seed header 001). One table serves the encoders, the JSON that the commands print, and the layout test.
 * @module
 */
import { type Fields, layout } from "../base/layout.ts";
import { INLINE_BYTES } from "../base/limits.ts";
import { KIND, KIND_MAX } from "./kind.ts";

const inline = <const F extends Fields>(fields: F) => layout(INLINE_BYTES, fields);

const LEASE_FIELDS = { cls: [0, "u32"], reason: [4, "u32"] } as const;

/** ACT_ACK: the verdict on one command. `doneNs`: when the actuator confirmed, CLOCK_MONOTONIC. */
export const ACT_ACK = inline({
  ok: [0, "u32"],
  code: [4, "u32"],
  cmdKind: [8, "u32"],
  detail: [12, "u32"],
  doneNs: [16, "u64"],
});
/** ERROR: what went wrong in an adapter or the core. `text` is UTF-8, NUL-padded. */
export const ERROR = inline({ code: [0, "u32"], detail: [4, "u32"], text: [8, "bytes", 40] });
/** SEAM_UP and SEAM_DOWN. */
export const SEAM = inline({ reason: [0, "u32"], pid: [4, "u32"] });
/** vmsig_lease_req: the lease commands and LEASE_DENIED, LEASE_RELEASED, LEASE_REVOKED. */
export const LEASE = inline(LEASE_FIELDS);
/** CMD_ACQUIRE: with the keepalive that the owner promises. */
export const ACQUIRE = inline({ ...LEASE_FIELDS, ttlMs: [8, "u32"] });
/** LEASE_GRANTED: with the fencing token. */
export const LEASE_GRANTED = inline({ ...LEASE_FIELDS, token: [8, "u64"], ttlMs: [16, "u32"] });
/** LEASE_STATUS. */
export const LEASE_STATUS = inline({ cls: [0, "u32"], busy: [4, "u32"], ownerPrincipal: [8, "u32"] });
/** VM_LIFECYCLE: vmsig_vm_state. */
export const VM_STATE = inline({ state: [0, "u32"], detail: [4, "u32"] });
/** CMD_LIFECYCLE and CMD_VM: the operation. */
export const OPERATION = inline({ op: [0, "u32"] });
/** CMD_INPUT: vmsig_input. */
export const INPUT = inline({
  kind: [0, "u32"],
  code: [4, "i32"],
  value: [8, "i32"],
  scroll: [16, "f64"],
});
/** INPUT_HELD: vmsig_input_held; `entries` are ten pairs of u16 kind and code. */
export const INPUT_HELD = inline({ count: [0, "u32"], flags: [4, "u32"], entries: [8, "bytes", 40] });
/** CMD_MEMWRITE: vmsig_memwrite; the inline tail from 16. */
export const MEMWRITE = inline({
  gva: [0, "u64"],
  len: [8, "u32"],
  flags: [12, "u32"],
  tail: [16, "bytes", 32],
});
/** MEMCTX: one endpoint's address-space context. */
export const MEMCTX = inline({
  kcr3: [0, "u64"],
  ramBytes: [8, "u64"],
  low: [16, "u64"],
  epoch: [24, "u32"],
  nseg: [28, "u32"],
  guestOs: [32, "u32"],
  levels: [36, "u32"],
  flags: [40, "u32"],
  nfd: [44, "u32"],
});
/** MEMCTX_INVALIDATED. */
export const MEMCTX_INVALIDATED = inline({ epoch: [0, "u32"], reason: [4, "u32"] });
/** CURSOR_STATE: vmsig_cursor. */
export const CURSOR = inline({ x: [0, "i32"], y: [4, "i32"], visible: [8, "u32"], seq: [12, "u32"] });
/** ROSTER: one endpoint's entry. */
export const ROSTER = inline({
  state: [0, "u32"],
  seams: [4, "u32"],
  pid: [8, "u32"],
  vmid: [12, "u32"],
  name: [16, "bytes", 32],
});
/** FRAME_INFO: a frame that can be sampled. */
export const FRAME_INFO = inline({
  frameId: [0, "u64"],
  timestampNs: [8, "u64"],
  width: [16, "u32"],
  height: [20, "u32"],
  stride: [24, "u32"],
  format: [28, "u32"],
  source: [32, "u32"],
  runEpoch: [36, "u32"],
});
/** VGPU_STATUS: the producer's state. */
export const VGPU_STATUS = inline({
  state: [0, "u32"],
  runEpoch: [4, "u32"],
  status: [8, "u32"],
  backend: [12, "u32"],
  errorCode: [16, "u32"],
  appliedFps: [20, "u32"],
  producerPid: [24, "u32"],
});
/** FRAME_RING: the memfd's shape. */
export const FRAME_RING = inline({
  bytes: [0, "u64"],
  slotCount: [8, "u32"],
  slotStride: [12, "u32"],
  runEpoch: [16, "u32"],
});
/** OVERRUN: what a slow control lost. */
export const OVERRUN = inline({ lost: [0, "u32"], highestPrioLost: [4, "u32"] });

/** A kind's inline layout. */
export type InlineLayout = { readonly fields: Fields };

/** Kind number to its inline layout; undefined where the kind has none (AUDIT and the handshake are all body). */
export const LAYOUT_OF_KIND: (InlineLayout | undefined)[] = new Array(KIND_MAX).fill(undefined);
LAYOUT_OF_KIND[KIND.SEAM_UP] = SEAM;
LAYOUT_OF_KIND[KIND.SEAM_DOWN] = SEAM;
LAYOUT_OF_KIND[KIND.ERROR] = ERROR;
LAYOUT_OF_KIND[KIND.CURSOR_STATE] = CURSOR;
LAYOUT_OF_KIND[KIND.ACT_ACK] = ACT_ACK;
LAYOUT_OF_KIND[KIND.VM_LIFECYCLE] = VM_STATE;
LAYOUT_OF_KIND[KIND.LEASE_GRANTED] = LEASE_GRANTED;
LAYOUT_OF_KIND[KIND.LEASE_DENIED] = LEASE;
LAYOUT_OF_KIND[KIND.LEASE_RELEASED] = LEASE;
LAYOUT_OF_KIND[KIND.LEASE_REVOKED] = LEASE;
LAYOUT_OF_KIND[KIND.LEASE_STATUS] = LEASE_STATUS;
LAYOUT_OF_KIND[KIND.INPUT_HELD] = INPUT_HELD;
LAYOUT_OF_KIND[KIND.CMD_INPUT] = INPUT;
LAYOUT_OF_KIND[KIND.CMD_LIFECYCLE] = OPERATION;
LAYOUT_OF_KIND[KIND.CMD_VM] = OPERATION;
LAYOUT_OF_KIND[KIND.CMD_ACQUIRE] = ACQUIRE;
LAYOUT_OF_KIND[KIND.CMD_RELEASE] = LEASE;
LAYOUT_OF_KIND[KIND.CMD_LEASE_STATUS] = LEASE;
LAYOUT_OF_KIND[KIND.MEMCTX] = MEMCTX;
LAYOUT_OF_KIND[KIND.MEMCTX_INVALIDATED] = MEMCTX_INVALIDATED;
LAYOUT_OF_KIND[KIND.CMD_MEMWRITE] = MEMWRITE;
LAYOUT_OF_KIND[KIND.ROSTER] = ROSTER;
LAYOUT_OF_KIND[KIND.FRAME_INFO] = FRAME_INFO;
LAYOUT_OF_KIND[KIND.VGPU_STATUS] = VGPU_STATUS;
LAYOUT_OF_KIND[KIND.FRAME_RING] = FRAME_RING;
LAYOUT_OF_KIND[KIND.OVERRUN] = OVERRUN;
