/**
 * The vgpu region as tables of offsets: REGION.md, line by line. Numbers only; reading, checking and trusting
 * are elsewhere.
 *
 * Fields that REGION.md packs (cursor_pos, cursor_hotspot, cursor_glyph) are split into their halves here.
 * @module
 */
import { assert } from "../base/assert.ts";
import { type Layout, layout } from "../base/layout.ts";
import { MAX_VGPU_SLOTS } from "../base/limits.ts";

/** The bytes `VGPU`: low word of the magic. */
export const MAGIC_LO = 0x5550_4756;
/** The bytes `STR1`: high word of the magic. */
export const MAGIC_HI = 0x3152_5453;
/** The one version of the layout. */
export const ABI_VERSION = 1;
/** Bytes of the header, and where the ring starts. */
export const HEADER_BYTES = 0x2000;
/** Where the control block is (VGPU_CONTROL_OFFSET). */
export const CONTROL_OFFSET = 0x1000;
/** Where the ring starts. */
export const RING_OFFSET = 0x2000;
/** A region starts at a page, and its slots are whole pages. */
export const REGION_PAGE_BYTES = 4096;
/** `latest` when no frame was published yet. */
export const NO_SLOT = 0xffff_ffff;
/** The heartbeat advances at least this often (VGPU_HEARTBEAT_PERIOD_MS). */
export const HEARTBEAT_PERIOD_MS = 100;
/** First byte that the header's CRC covers. */
export const CRC_FROM = 0x008;
/** First byte past those that the header's CRC covers. */
export const CRC_END = 0x02c;
/** Where the slot descriptors start. */
export const SLOTS_OFFSET = 0x140;

/** Fields of the header page, up to the slot descriptors. */
export const REGION_FIELDS = {
  magic: [0x000, "u64"],
  abiVersion: [0x008, "u32"],
  headerBytes: [0x00c, "u32"],
  regionBytes: [0x010, "u64"],
  controlOffset: [0x018, "u32"],
  ringOffset: [0x01c, "u32"],
  slotCount: [0x020, "u32"],
  slotStride: [0x024, "u32"],
  producerPid: [0x028, "u32"],
  crc: [0x02c, "u32"],
  heartbeat: [0x040, "u64"],
  runEpoch: [0x048, "u32"],
  status: [0x04c, "u32"],
  backend: [0x050, "u32"],
  errorCode: [0x054, "u32"],
  appliedFps: [0x058, "u32"],
  supportedFormats: [0x05c, "u32"],
  ctrlAck: [0x060, "u32"],
  fullFrameAck: [0x064, "u32"],
  contentChangeNs: [0x068, "u64"],
  cursorSeq: [0x080, "u32"],
  cursorVisible: [0x084, "u32"],
  cursorX: [0x088, "i32"],
  cursorY: [0x08c, "i32"],
  cursorHotX: [0x090, "u16"],
  cursorHotY: [0x092, "u16"],
  cursorGlyphW: [0x094, "u16"],
  cursorGlyphH: [0x096, "u16"],
  cursorId: [0x098, "u32"],
  geomSeq: [0x0c0, "u32"],
  dpi: [0x0c4, "u32"],
  virtX: [0x0c8, "i32"],
  virtY: [0x0cc, "i32"],
  virtW: [0x0d0, "u32"],
  virtH: [0x0d4, "u32"],
  capX: [0x0d8, "i32"],
  capY: [0x0dc, "i32"],
  refreshMhz: [0x0e0, "u32"],
  latest: [0x100, "u32"],
} as const;
/** The header page, up to the slot descriptors. */
export const REGION: Layout<typeof REGION_FIELDS> = layout(SLOTS_OFFSET, REGION_FIELDS);

/** Fields of one slot's descriptor. */
export const SLOT_FIELDS = {
  seq: [0, "u32"],
  width: [4, "u32"],
  height: [8, "u32"],
  stride: [12, "u32"],
  format: [16, "u32"],
  flags: [20, "u32"],
  frameId: [24, "u64"],
  timestampNs: [32, "u64"],
  damageX: [40, "i32"],
  damageY: [44, "i32"],
  damageW: [48, "i32"],
  damageH: [52, "i32"],
} as const;
/** One slot's descriptor. */
export const SLOT: Layout<typeof SLOT_FIELDS> = layout(64, SLOT_FIELDS);

/** Fields of the control block. */
export const CONTROL_FIELDS = {
  ctrlGen: [0x00, "u32"],
  desiredState: [0x04, "u32"],
  targetFps: [0x08, "u32"],
  drawCursor: [0x0c, "u32"],
  fullFrameReq: [0x10, "u32"],
  consumerTick: [0x18, "u64"],
  consumerAttached: [0x20, "u32"],
} as const;
/** The control block, from {@linkcode CONTROL_OFFSET}. Only a writer through MEMWRITE touches it. */
export const CONTROL: Layout<typeof CONTROL_FIELDS> = layout(0x24, CONTROL_FIELDS);

assert(
  SLOTS_OFFSET + MAX_VGPU_SLOTS * SLOT.sizeBytes <= CONTROL_OFFSET,
  "the slots end before the control block",
);
assert(CONTROL_OFFSET + CONTROL.sizeBytes <= RING_OFFSET, "the control block ends before the ring");

/** What the producer does (VGPU_ST_*). */
export const PRODUCER_STATUS = { stopped: 0, starting: 1, running: 2, paused: 3, error: 4 } as const;
/** Where the producer takes pictures from (VGPU_BK_*). */
export const BACKEND = {
  unknown: 0,
  synthetic: 1,
  framebuffer: 2,
  x11: 3,
  wayland: 4,
  dxgi: 5,
  nvfbc: 6,
} as const;
/** What the producer is asked to do (VGPU_CMD_*). */
export const COMMAND = { none: 0, run: 1, pause: 2, stop: 3 } as const;
/** A command's name. */
export type CommandName = keyof typeof COMMAND;
/** The cursor's shape (VGPU_CURSOR_ID_*). */
export const CURSOR_ID = {
  unknown: 0,
  arrow: 1,
  text: 2,
  wait: 3,
  cross: 4,
  hand: 5,
  "size-ns": 6,
  "size-ew": 7,
  "size-nwse": 8,
  "size-nesw": 9,
  "size-all": 10,
  no: 11,
  hidden: 12,
  custom: 255,
} as const;

/** The name of a number in one of these tables; the number itself as text when it has none. */
export function nameIn(table: Readonly<Record<string, number>>, value: number): string {
  for (const name in table) if (table[name] === value) return name;
  return String(value);
}
