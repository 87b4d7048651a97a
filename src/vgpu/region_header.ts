/**
 * A region's identity: the first 48 bytes of its header, checked from one local copy. What passes here is
 * arithmetic that later reads may lean on: every slot lies within the region, and the region within the
 * address space that was told.
 *
 * It reads no guest memory, and it does not tell a living producer from a dead one's copy.
 * @module
 */
import { readU64 } from "../base/layout.ts";
import { MAX_VGPU_SLOT_BYTES, MAX_VGPU_SLOTS, MIN_VGPU_SLOTS } from "../base/limits.ts";
import { crc32c } from "./crc32c.ts";
import {
  ABI_VERSION,
  CONTROL_OFFSET,
  CRC_END,
  CRC_FROM,
  HEADER_BYTES,
  MAGIC_HI,
  MAGIC_LO,
  REGION,
  REGION_PAGE_BYTES,
  RING_OFFSET,
} from "./region_layout.ts";

/** Bytes that a region is known by: the magic, the shape, the CRC. */
export const IDENTITY_BYTES = 0x30;
/** The same in words. */
export const IDENTITY_WORDS: number = IDENTITY_BYTES / 4;

/** A region's shape, after every check. */
export interface RegionHeader {
  /** Bytes of the whole region. */
  readonly regionBytes: number;
  /** Slots of the ring, 2 to 8. */
  readonly slotCount: number;
  /** Bytes from slot to slot. */
  readonly slotStride: number;
  /** The producer's pid as it sees itself (a container's differs from the guest's). */
  readonly producerPid: number;
}

/** Which invariant a header breaks. */
export type HeaderDefect =
  | "magic"
  | "version"
  | "offsets"
  | "slot-count"
  | "slot-stride"
  | "region-bytes"
  | "crc";

/** The outcome of a check. */
export type HeaderCheck =
  | { readonly ok: true; readonly header: RegionHeader }
  | { readonly ok: false; readonly defect: HeaderDefect };

/**
 * Checks a local copy of a region's first {@linkcode IDENTITY_BYTES}. The cheap checks come first, the CRC
 * last.
 *
 * @param bytes the copy; nothing else may write to it
 * @param roomBytes how many bytes there can be at most: up to the end of the user half, or of a mapping
 */
export function checkHeader(bytes: Uint8Array, roomBytes: number): HeaderCheck {
  const view = new DataView(bytes.buffer, bytes.byteOffset, IDENTITY_BYTES);
  const u32 = (offset: number) => view.getUint32(offset, true);
  const { at } = REGION;
  if (u32(at.magic) !== MAGIC_LO || u32(at.magic + 4) !== MAGIC_HI) return { ok: false, defect: "magic" };
  if (u32(at.abiVersion) !== ABI_VERSION) return { ok: false, defect: "version" };
  if (
    u32(at.headerBytes) !== HEADER_BYTES || u32(at.controlOffset) !== CONTROL_OFFSET ||
    u32(at.ringOffset) !== RING_OFFSET
  ) return { ok: false, defect: "offsets" };
  const slotCount = u32(at.slotCount);
  if (slotCount < MIN_VGPU_SLOTS || slotCount > MAX_VGPU_SLOTS) return { ok: false, defect: "slot-count" };
  const slotStride = u32(at.slotStride);
  if (slotStride === 0 || slotStride % REGION_PAGE_BYTES !== 0 || slotStride > MAX_VGPU_SLOT_BYTES) {
    return { ok: false, defect: "slot-stride" };
  }
  // Exact: at most 8 x 128 MiB. A u64 past 2^53 is only compared.
  const regionBytes = readU64(view, at.regionBytes);
  if (RING_OFFSET + slotCount * slotStride > regionBytes || regionBytes > roomBytes) {
    return { ok: false, defect: "region-bytes" };
  }
  if (crc32c(bytes, CRC_FROM, CRC_END) !== u32(at.crc)) return { ok: false, defect: "crc" };
  return { ok: true, header: { regionBytes, slotCount, slotStride, producerPid: u32(at.producerPid) } };
}

/**
 * Writes a header's identity, magic last: how a ring of our own (and a test's region) begins.
 *
 * @param bytes at least {@linkcode IDENTITY_BYTES}, zeroed
 */
export function writeHeader(bytes: Uint8Array, header: RegionHeader): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, IDENTITY_BYTES);
  const put = (offset: number, value: number) => view.setUint32(offset, value, true);
  const { at } = REGION;
  put(at.abiVersion, ABI_VERSION);
  put(at.headerBytes, HEADER_BYTES);
  put(at.regionBytes, header.regionBytes >>> 0);
  put(at.regionBytes + 4, Math.floor(header.regionBytes / 2 ** 32));
  put(at.controlOffset, CONTROL_OFFSET);
  put(at.ringOffset, RING_OFFSET);
  put(at.slotCount, header.slotCount);
  put(at.slotStride, header.slotStride);
  put(at.producerPid, header.producerPid);
  put(at.crc, crc32c(bytes, CRC_FROM, CRC_END));
  put(at.magic + 4, MAGIC_HI);
  put(at.magic, MAGIC_LO);
}
