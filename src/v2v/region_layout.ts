/**
 * Where everything lies in a v2v region (RING.md): the header, the two control blocks, the two rings, and the
 * eight bytes before each message. Offsets only: who writes what, and when, is in the files that do it.
 *
 * Control blocks, indices, pads and notification follow the Xen Windows tools (netchannel2 rings), so that
 * who knows those can read a dump; the message header is ours, because their u16 size corrupts messages near
 * 64 KiB.
 * @module
 */
import { assert } from "../base/assert.ts";
import { type Fields, layout } from "../base/layout.ts";

/** A checked layout: its size, its fields, and their offsets by name. */
export interface Layout<F extends Fields> {
  /** Size in bytes. */
  readonly sizeBytes: number;
  /** The fields. */
  readonly fields: F;
  /** Offset of each field. */
  readonly at: { readonly [K in keyof F]: number };
}

/** The magic `V2VRING1` as two little-endian words, low then high. */
export const MAGIC_LOW = 0x52563256;
/** The magic's second word. */
export const MAGIC_HIGH = 0x31474e49;
/** The region's version (RING.md). */
export const REGION_VERSION = 1;

/** The region's header, at offset 0. */
export const HEADER_FIELDS = {
  magicLow: [0x00, "u32"],
  magicHigh: [0x04, "u32"],
  version: [0x08, "u32"],
  generation: [0x0c, "u32"],
  prodOrder: [0x10, "u32"],
  consOrder: [0x14, "u32"],
  listenerState: [0x18, "u32"],
  connectorState: [0x1c, "u32"],
  vectorBase: [0x20, "u32"],
  connectorGeneration: [0x24, "u32"],
  listenerPeerId: [0x28, "u32"],
  connectorPeerId: [0x2c, "u32"],
  listenerHeartbeat: [0x30, "u64"],
  connectorHeartbeat: [0x38, "u64"],
} as const;

/** The same with its size, and the offsets by name in `at`. */
export const HEADER: Layout<typeof HEADER_FIELDS> = layout(0x1000, HEADER_FIELDS);

/** One side's control block. Only that side writes it. */
export const CONTROL_FIELDS = {
  prod: [0, "u32"],
  prodEvent: [4, "u32"],
  cons: [8, "u32"],
  consEvent: [12, "u32"],
  consumerActive: [16, "u32"],
  consumerSpinning: [20, "u32"],
  producerActive: [24, "u32"],
} as const;

/** The same with its size, and the offsets by name in `at`. */
export const CONTROL: Layout<typeof CONTROL_FIELDS> = layout(64, CONTROL_FIELDS);

/** Offset of the listener's control block. */
export const LISTENER_CONTROL_AT = 0x1000;
/** Offset of the connector's control block. */
export const CONNECTOR_CONTROL_AT = 0x1040;
/** Offset of the first ring, listener to connector; the other one follows it. */
export const RINGS_AT = 0x2000;

/** Largest order: a ring has `4096 << order` bytes. */
export const MAX_ORDER = 8;
/** Bytes before a message's payload: u8 type, u8 flags, u16 reserved 0, u32 size. */
export const MESSAGE_HEADER_BYTES = 8;
/** Type of a pad to the end of the ring; a message's own type is below it. */
export const PAD_TYPE = 255;
/** Type of a message that carries a stream's bytes. */
export const STREAM_TYPE = 1;

/** Which end of the channel somebody is. */
export type Role = "listener" | "connector";

/** Bytes of a ring of this order. */
export function ringBytes(order: number): number {
  assert(Number.isInteger(order) && order >= 0 && order <= MAX_ORDER, "the order was checked before");
  return 4096 << order;
}

/** Bytes of a region with these two rings. */
export function regionBytes(prodOrder: number, consOrder: number): number {
  return RINGS_AT + ringBytes(prodOrder) + ringBytes(consOrder);
}

/** The largest payload that a ring of this many bytes takes: half of it, less the header. */
export function maxPayloadBytes(ofRingBytes: number): number {
  return ofRingBytes / 2 - MESSAGE_HEADER_BYTES;
}

assert(LISTENER_CONTROL_AT + CONTROL.sizeBytes <= CONNECTOR_CONTROL_AT, "the control blocks do not overlap");
assert(CONNECTOR_CONTROL_AT + CONTROL.sizeBytes <= RINGS_AT, "the rings start behind the control blocks");
