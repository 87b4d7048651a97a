/**
 * Inline zones as tables: name, offset, type. The catalogue says which kind has which; one table serves the
 * encoders, the JSON that the commands print, and the layout test.
 * @module
 */
import { type Fields, type Layout, layout, type Scalar } from "../base/layout.ts";
import { INLINE_BYTES } from "../base/limits.ts";

/** The types of a table's fields by name. */
export type FieldTypes = Readonly<Record<string, Scalar | "bytes">>;
/** The layout of one kind's inline zone: 48 bytes. */
export type InlineTable<T extends FieldTypes> = Layout<
  { readonly [Name in keyof T & string]: readonly [offset: number, type: T[Name], count?: number] }
>;

const inline = <const F extends Fields>(fields: F): Layout<F> => layout(INLINE_BYTES, fields);

const LEASE_FIELDS = { cls: [0, "u32"], reason: [4, "u32"] } as const;

/** ACT_ACK: the answer to one command. `doneNs`: when the actuator confirmed, CLOCK_MONOTONIC. */
export const ACT_ACK: InlineTable<{ ok: "u32"; code: "u32"; cmdKind: "u32"; detail: "u32"; doneNs: "u64" }> =
  inline({
    ok: [0, "u32"],
    code: [4, "u32"],
    cmdKind: [8, "u32"],
    detail: [12, "u32"],
    doneNs: [16, "u64"],
  });
/** ERROR: what went wrong in an adapter or the core. `text` is UTF-8, NUL-padded. */
export const ERROR: InlineTable<{ code: "u32"; detail: "u32"; text: "bytes" }> = inline({
  code: [0, "u32"],
  detail: [4, "u32"],
  text: [8, "bytes", 40],
});
/** SEAM_UP and SEAM_DOWN. */
export const SEAM: InlineTable<{ reason: "u32"; pid: "u32" }> = inline({
  reason: [0, "u32"],
  pid: [4, "u32"],
});
/** vmsig_lease_req: the lease commands and LEASE_RELEASED. */
export const LEASE: InlineTable<{ cls: "u32"; reason: "u32" }> = inline(LEASE_FIELDS);
/** CMD_ACQUIRE: with the keepalive that the owner promises. */
export const ACQUIRE: InlineTable<{ cls: "u32"; reason: "u32"; ttlMs: "u32" }> = inline({
  ...LEASE_FIELDS,
  ttlMs: [8, "u32"],
});
/** CMD_LEASE_CLAIM: what a CMD_ACQUIRE says, and whether it waits. The message is the body. */
export const LEASE_CLAIM: InlineTable<{ cls: "u32"; flags: "u32"; ttlMs: "u32" }> = inline({
  cls: [0, "u32"],
  flags: [4, "u32"],
  ttlMs: [8, "u32"],
});
/** LEASE_GRANTED: with the fencing token. */
export const LEASE_GRANTED: InlineTable<{ cls: "u32"; reason: "u32"; token: "u64"; ttlMs: "u32" }> = inline({
  ...LEASE_FIELDS,
  token: [8, "u64"],
  ttlMs: [16, "u32"],
});
/** Where LEASE_STATUS, LEASE_DENIED and LEASE_REVOKED say who it is: one place for all three. */
export const LEASE_PARTY: InlineTable<{ principal: "u32"; control: "u32"; as: "bytes" }> = inline({
  principal: [8, "u32"],
  control: [12, "u32"],
  as: [16, "bytes", 32],
});
/** LEASE_STATUS: `owner…` is who has it; control 0 and no name: nobody, or the daemon is older than that. */
export const LEASE_STATUS: InlineTable<
  { cls: "u32"; busy: "u32"; ownerPrincipal: "u32"; ownerControl: "u32"; ownerAs: "bytes" }
> = inline({
  cls: [0, "u32"],
  busy: [4, "u32"],
  ownerPrincipal: [8, "u32"],
  ownerControl: [12, "u32"],
  ownerAs: [16, "bytes", 32],
});
/** LEASE_DENIED: `owner…` is who has it. */
export const LEASE_DENIED: InlineTable<
  { cls: "u32"; reason: "u32"; ownerPrincipal: "u32"; ownerControl: "u32"; ownerAs: "bytes" }
> = inline({
  ...LEASE_FIELDS,
  ownerPrincipal: [8, "u32"],
  ownerControl: [12, "u32"],
  ownerAs: [16, "bytes", 32],
});
/** LEASE_REVOKED: `by…` is who took it. */
export const LEASE_REVOKED: InlineTable<
  { cls: "u32"; reason: "u32"; byPrincipal: "u32"; byControl: "u32"; byAs: "bytes" }
> = inline({
  ...LEASE_FIELDS,
  byPrincipal: [8, "u32"],
  byControl: [12, "u32"],
  byAs: [16, "bytes", 32],
});
/** VM_LIFECYCLE: vmsig_vm_state. */
export const VM_STATE: InlineTable<{ state: "u32"; detail: "u32"; migration: "u32" }> = inline({
  state: [0, "u32"],
  detail: [4, "u32"],
  migration: [8, "u32"],
});
/** SNAPSHOT: what is done, how far it is, in QEMU's own units. The name and QEMU's words are in the body. */
export const SNAPSHOT: InlineTable<{ op: "u32"; state: "u32"; done: "u64"; total: "u64" }> = inline({
  op: [0, "u32"],
  state: [4, "u32"],
  done: [8, "u64"],
  total: [16, "u64"],
});
/** MIGRATION: bytes of RAM; QEMU's own word for its state is in the body. */
export const MIGRATION: InlineTable<
  { way: "u32"; transferredBytes: "u64"; totalBytes: "u64"; remainingBytes: "u64" }
> = inline({
  way: [0, "u32"],
  transferredBytes: [8, "u64"],
  totalBytes: [16, "u64"],
  remainingBytes: [24, "u64"],
});
/** CMD_LIFECYCLE, CMD_VM and CMD_SNAPSHOT: the operation. */
export const OPERATION: InlineTable<{ op: "u32" }> = inline({ op: [0, "u32"] });
/** CMD_INPUT: vmsig_input. */
export const INPUT: InlineTable<{ kind: "u32"; code: "i32"; value: "i32"; scroll: "f64" }> = inline({
  kind: [0, "u32"],
  code: [4, "i32"],
  value: [8, "i32"],
  scroll: [16, "f64"],
});
/** INPUT_HELD: vmsig_input_held; `entries` are ten pairs of u16 kind and code. */
export const INPUT_HELD: InlineTable<{ count: "u32"; flags: "u32"; entries: "bytes" }> = inline({
  count: [0, "u32"],
  flags: [4, "u32"],
  entries: [8, "bytes", 40],
});
/** CMD_MEMWRITE: vmsig_memwrite; the inline tail from 16. */
export const MEMWRITE: InlineTable<{ gva: "u64"; len: "u32"; flags: "u32"; tail: "bytes" }> = inline({
  gva: [0, "u64"],
  len: [8, "u32"],
  flags: [12, "u32"],
  tail: [16, "bytes", 32],
});
/** MEMCTX: one endpoint's address-space context. */
export const MEMCTX: InlineTable<
  {
    kcr3: "u64";
    ramBytes: "u64";
    low: "u64";
    epoch: "u32";
    nseg: "u32";
    guestOs: "u32";
    levels: "u32";
    flags: "u32";
    nfd: "u32";
  }
> = inline({
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
export const MEMCTX_INVALIDATED: InlineTable<{ epoch: "u32"; reason: "u32" }> = inline({
  epoch: [0, "u32"],
  reason: [4, "u32"],
});
/** CURSOR_STATE: vmsig_cursor, the head that it is on, and its shape, 0x0 where that is not known. */
export const CURSOR: InlineTable<
  {
    x: "i32";
    y: "i32";
    visible: "u32";
    seq: "u32";
    head: "u32";
    width: "u16";
    height: "u16";
    hotX: "u16";
    hotY: "u16";
  }
> = inline({
  x: [0, "i32"],
  y: [4, "i32"],
  visible: [8, "u32"],
  seq: [12, "u32"],
  head: [16, "u32"],
  width: [20, "u16"],
  height: [22, "u16"],
  hotX: [24, "u16"],
  hotY: [26, "u16"],
});
/** ROSTER: one endpoint's entry. */
export const ROSTER: InlineTable<{ state: "u32"; seams: "u32"; pid: "u32"; vmid: "u32"; name: "bytes" }> =
  inline({
    state: [0, "u32"],
    seams: [4, "u32"],
    pid: [8, "u32"],
    vmid: [12, "u32"],
    name: [16, "bytes", 32],
  });
/**
 * FRAME_INFO: a frame that can be sampled. Of head 0, `source` and `format` read as u32 say the same as ever.
 * Damage of 0x0 is the whole frame.
 */
export const FRAME_INFO: InlineTable<
  {
    frameId: "u64";
    timestampNs: "u64";
    width: "u32";
    height: "u32";
    stride: "u32";
    format: "u16";
    flags: "u16";
    source: "u16";
    head: "u16";
    runEpoch: "u32";
    damageX: "u16";
    damageY: "u16";
    damageW: "u16";
    damageH: "u16";
  }
> = inline({
  frameId: [0, "u64"],
  timestampNs: [8, "u64"],
  width: [16, "u32"],
  height: [20, "u32"],
  stride: [24, "u32"],
  format: [28, "u16"],
  flags: [30, "u16"],
  source: [32, "u16"],
  head: [34, "u16"],
  runEpoch: [36, "u32"],
  damageX: [40, "u16"],
  damageY: [42, "u16"],
  damageW: [44, "u16"],
  damageH: [46, "u16"],
});
/** VGPU_STATUS: the producer's state. */
export const VGPU_STATUS: InlineTable<
  {
    state: "u32";
    runEpoch: "u32";
    status: "u32";
    backend: "u32";
    errorCode: "u32";
    appliedFps: "u32";
    producerPid: "u32";
  }
> = inline({
  state: [0, "u32"],
  runEpoch: [4, "u32"],
  status: [8, "u32"],
  backend: [12, "u32"],
  errorCode: [16, "u32"],
  appliedFps: [20, "u32"],
  producerPid: [24, "u32"],
});
/** FRAME_RING: the memfd's shape, and the head whose pictures are in it. */
export const FRAME_RING: InlineTable<
  {
    bytes: "u64";
    slotCount: "u32";
    slotStride: "u32";
    runEpoch: "u32";
    head: "u32";
    device: "bytes";
  }
> = inline({
  bytes: [0, "u64"],
  slotCount: [8, "u32"],
  slotStride: [12, "u32"],
  runEpoch: [16, "u32"],
  head: [20, "u32"],
  device: [24, "bytes", 24],
});
/** SCREEN_TEXT: whose text the body is. */
export const SCREEN_TEXT: InlineTable<{ head: "u32" }> = inline({ head: [0, "u32"] });
/** CMD_FRAME: pictures that a control wants. */
export const FRAME_REQUEST: InlineTable<{ op: "u32"; head: "u32"; perSecond: "u32" }> = inline({
  op: [0, "u32"],
  head: [4, "u32"],
  perSecond: [8, "u32"],
});
/** FRAME_DEMAND: what all controls together want of a head. */
export const FRAME_DEMAND: InlineTable<
  {
    head: "u32";
    perSecond: "u32";
    onceSerial: "u32";
    textSerial: "u32";
    watchers: "u32";
    flags: "u32";
  }
> = inline({
  head: [0, "u32"],
  perSecond: [4, "u32"],
  onceSerial: [8, "u32"],
  textSerial: [12, "u32"],
  watchers: [16, "u32"],
  flags: [20, "u32"],
});
/** CMD_DISPLAY: what whoever makes the pictures asks of the VM's monitor, and tells. */
export const DISPLAY_REQUEST: InlineTable<
  { op: "u32"; head: "u32"; serial: "u32"; code: "u32"; frameId: "u32"; source: "u32" }
> = inline({
  op: [0, "u32"],
  head: [4, "u32"],
  serial: [8, "u32"],
  code: [12, "u32"],
  frameId: [16, "u32"],
  source: [20, "u32"],
});
/** CMD_CONSOLE: what is read of a console. */
export const CONSOLE_REQUEST: InlineTable<
  { op: "u32"; port: "u32"; offset: "u64"; maxBytes: "u32"; waitMs: "u32"; flags: "u32" }
> = inline({
  op: [0, "u32"],
  port: [4, "u32"],
  offset: [8, "u64"],
  maxBytes: [16, "u32"],
  waitMs: [20, "u32"],
  flags: [24, "u32"],
});
/** CONSOLE_OUT: where the bytes stand among all that this console said; `end` is one past the newest. */
export const CONSOLE_OUT: InlineTable<{ port: "u32"; flags: "u32"; offset: "u64"; end: "u64" }> = inline({
  port: [0, "u32"],
  flags: [4, "u32"],
  offset: [8, "u64"],
  end: [16, "u64"],
});
/** CMD_CONSOLE_WRITE: which console the body is for. */
export const CONSOLE_WRITE: InlineTable<{ port: "u32" }> = inline({ port: [0, "u32"] });
/** CMD_VCPU: `op` 0 asks how many virtual processors there are, 1 for the registers of `cpu`. */
export const VCPU_REQUEST: InlineTable<{ op: "u32"; cpu: "u32" }> = inline({
  op: [0, "u32"],
  cpu: [4, "u32"],
});
/** VCPU_STATE: of how many processors which one's registers are the body; none of them when it is empty. */
export const VCPU_STATE: InlineTable<{ cpu: "u32"; count: "u32" }> = inline({
  cpu: [0, "u32"],
  count: [4, "u32"],
});
/**
 * CMD_AGENT: what is asked of a guest's agent. `handle`: a file's, or a program's pid; `mode`: of a
 * shutdown, 1 to append to a file; `count`: bytes to read; the offsets: how much of a program's output is
 * there already.
 */
export const AGENT_REQUEST: InlineTable<
  {
    op: "u32";
    mode: "u32";
    handle: "u64";
    count: "u32";
    outOffset: "u32";
    errOffset: "u32";
    limitMs: "u32";
  }
> = inline({
  op: [0, "u32"],
  mode: [4, "u32"],
  handle: [8, "u64"],
  count: [16, "u32"],
  outOffset: [20, "u32"],
  errOffset: [24, "u32"],
  limitMs: [28, "u32"],
});
/** AGENT_REPLY: the answer to which operation. */
export const AGENT_REPLY: InlineTable<{ op: "u32" }> = inline({ op: [0, "u32"] });
/** OVERRUN: what a slow control lost. */
export const OVERRUN: InlineTable<{ lost: "u32"; highestPrioLost: "u32" }> = inline({
  lost: [0, "u32"],
  highestPrioLost: [4, "u32"],
});

/** RECONNECTED: what a client may have missed while there was no daemon. */
export const RECONNECTED: InlineTable<
  { awayNs: "u64"; lastSeq: "u32"; attempts: "u32"; control: "u32" }
> = inline({
  awayNs: [0, "u64"],
  lastSeq: [8, "u32"],
  attempts: [12, "u32"],
  control: [16, "u32"],
});

/** A kind's inline layout. */
export interface InlineLayout {
  /** The fields by name. */
  readonly fields: Fields;
}
