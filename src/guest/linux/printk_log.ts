/**
 * printk's ring buffer (kernels from 5.10 on), as dmesg shows it, also of
 * a guest that has panicked.
 *
 * A ring of descriptors lists the records, a ring of text has their contents, and an array beside the
 * descriptors has time and level. The guest writes meanwhile: a record is valid only if its descriptor is the
 * same before and after. Records and text are bounded.
 * @module
 */
import { textOfBytes } from "../../base/byte_text.ts";
import { MAX_PRINTK_RECORDS, MAX_PRINTK_TEXT_BYTES } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import type { LogRecord } from "../insight.ts";
import type { ListEnd, Listing } from "../process.ts";
import { isKernelPointer } from "./kernel_view.ts";
import type { KernelTypes } from "./kernel_types.ts";

/** A descriptor's state: the two uppermost bits of its word. */
const STATE = { committed: 1, finalized: 2 } as const;
const MAX_TEXT_RING_BITS = 30;
const MAX_RECORD_BITS = 20;
/** A block of text starts with its descriptor's id. */
const BLOCK_HEAD_BYTES = 8;
const CALLER_IS_CPU = 0x8000_0000;
const DEVICE_BYTES = 48;

interface LogPlaces {
  readonly descBytes: number;
  readonly infoBytes: number;
  readonly state: number;
  readonly begin: number;
  readonly next: number;
  readonly seq: number;
  readonly time: number;
  readonly textLen: number;
  readonly facility: number;
  readonly level: number;
  readonly caller: number | undefined;
  readonly device: number | undefined;
}

/** The two rings of one kernel. */
interface Rings {
  readonly descs: number;
  readonly infos: number;
  readonly countBits: number;
  readonly data: number;
  readonly sizeBits: number;
  readonly head: number;
  readonly tail: number;
}

/**
 * Reads the log, oldest record first.
 *
 * @param space the kernel's address space
 * @param types its types
 * @param prb address of the variable `prb`
 * @param last how many records at most, the newest
 */
export function readLog(
  space: AddressSpace,
  types: KernelTypes,
  prb: number,
  last: number = MAX_PRINTK_RECORDS,
): Listing<LogRecord> | { readonly unsupported: string } {
  const places = placesOf(types);
  if (places === undefined) return { unsupported: "its BTF has no printk ring buffer (kernels before 5.10)" };
  const broken = (at: number): Listing<LogRecord> => ({
    items: [],
    end: { complete: false, reason: "wild-pointer", at },
  });
  const ring = space.readS64(prb);
  const rings = isKernelPointer(ring) ? ringsOf(space, types, ring) : undefined;
  if (rings === undefined) return broken(prb);
  const count = Math.min((rings.head - rings.tail >>> 0) + 1, 2 ** rings.countBits);
  const items: LogRecord[] = [];
  let end: ListEnd = { complete: true };
  let bytes = 0;
  for (let i = Math.max(0, count - last); i < count; i++) {
    const id = rings.head - (count - 1 - i) >>> 0;
    const record = readRecord(space, places, rings, id);
    if (record === undefined) continue;
    if (record === "wild") {
      end = { complete: false, reason: "wild-pointer", at: rings.descs };
      break;
    }
    bytes += record.text.length;
    if (bytes > MAX_PRINTK_TEXT_BYTES) {
      end = { complete: false, reason: "too-many", at: rings.data };
      break;
    }
    items.push(record);
  }
  return { items, end };
}

function placesOf(types: KernelTypes): LogPlaces | undefined {
  const need = [
    types.at("prb_desc.state_var"),
    types.at("prb_desc.text_blk_lpos.begin"),
    types.at("prb_desc.text_blk_lpos.next"),
    types.at("printk_info.seq"),
    types.at("printk_info.ts_nsec"),
    types.at("printk_info.text_len"),
    types.at("printk_info.facility"),
    types.place("printk_info.level")?.bits,
  ];
  const desc = types.find("struct prb_desc");
  const info = types.find("struct printk_info");
  if (need.includes(undefined) || desc === undefined || info === undefined) return undefined;
  const [state, begin, next, seq, time, textLen, facility, level] = need as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return {
    descBytes: types.size(desc),
    infoBytes: types.size(info),
    state,
    begin,
    next,
    seq,
    time,
    textLen,
    facility,
    level,
    caller: types.at("printk_info.caller_id"),
    device: types.at("printk_info.dev_info.device"),
  };
}

function ringsOf(space: AddressSpace, types: KernelTypes, ring: number): Rings | undefined {
  const place = (field: string): number => types.at(`printk_ringbuffer.${field}`) ?? NaN;
  const at = {
    countBits: place("desc_ring.count_bits"),
    descs: place("desc_ring.descs"),
    infos: place("desc_ring.infos"),
    head: place("desc_ring.head_id"),
    tail: place("desc_ring.tail_id"),
    sizeBits: place("text_data_ring.size_bits"),
    data: place("text_data_ring.data"),
  };
  if (Object.values(at).some(Number.isNaN)) return undefined;
  const rings = {
    countBits: space.readU32(ring, at.countBits),
    descs: space.readS64(ring, at.descs),
    infos: space.readS64(ring, at.infos),
    // Ids have 62 bits and are looked at modulo 2^32: a ring has far fewer descriptors than that.
    head: space.readU32(ring, at.head),
    tail: space.readU32(ring, at.tail),
    sizeBits: space.readU32(ring, at.sizeBits),
    data: space.readS64(ring, at.data),
  };
  const { countBits, sizeBits, head, tail } = rings;
  const fits = countBits <= MAX_RECORD_BITS && sizeBits <= MAX_TEXT_RING_BITS && sizeBits >= 4 && head >= 0 &&
    tail >= 0;
  return fits && isKernelPointer(rings.descs) && isKernelPointer(rings.infos) && rings.data < 0
    ? rings
    : undefined;
}

function readRecord(
  space: AddressSpace,
  places: LogPlaces,
  rings: Rings,
  id: number,
): LogRecord | "wild" | undefined {
  const index = id & (2 ** rings.countBits - 1);
  const desc = rings.descs + index * places.descBytes;
  const info = rings.infos + index * places.infoBytes;
  if (!isWhole(space, desc, places, id)) return Number.isNaN(space.readU32(desc)) ? "wild" : undefined;
  const textLen = space.readU16(info, places.textLen);
  const level = space.readU8(info, places.level >>> 3) >>> (places.level & 7) & 7;
  const caller = places.caller === undefined ? NaN : space.readU32(info, places.caller);
  const device = places.device === undefined ? "" : space.cstring(info + places.device, DEVICE_BYTES) ?? "";
  const begin = [space.readU32(desc, places.begin), space.readU32(desc, places.begin + 4)] as const;
  const next = space.readU32(desc, places.next);
  const text = textOf(space, rings, begin[0], next, textLen);
  const record: LogRecord = {
    seq: space.readU64(info, places.seq),
    timeNs: space.readU64(info, places.time),
    level,
    facility: space.readU8(info, places.facility),
    caller: Number.isNaN(caller)
      ? ""
      : caller >= CALLER_IS_CPU
      ? `C${caller - CALLER_IS_CPU}`
      : caller === 0
      ? ""
      : `T${caller}`,
    device,
    text: text ?? "",
  };
  // Reused while it was read, so the data may belong to two records.
  if (!isWhole(space, desc, places, id) || text === undefined || Number.isNaN(record.timeNs)) {
    return undefined;
  }
  return record;
}

/** Whether a descriptor is a whole record of this id. */
function isWhole(space: AddressSpace, desc: number, places: LogPlaces, id: number): boolean {
  if (!space.load64(desc, places.state)) return false;
  const state = space.hi >>> 30;
  return space.lo >>> 0 === id && (state === STATE.committed || state === STATE.finalized);
}

/** A record's text; "" for an empty line, undefined if it was overwritten or never stored. */
function textOf(
  space: AddressSpace,
  rings: Rings,
  begin: number,
  next: number,
  textLen: number,
): string | undefined {
  // Odd positions have no text: 3 is an empty line, 1 a text that found no room.
  if ((begin & 1) !== 0 && (next & 1) !== 0) return (begin & 3) === 3 ? "" : undefined;
  const mask = 2 ** rings.sizeBits - 1;
  const first = begin & mask;
  const past = next & mask;
  let at = first;
  let size = (next - begin) >>> 0;
  // A block that would cross the ring's end is at its start instead.
  if (first + size > mask + 1) {
    at = 0;
    size = past;
  }
  const room = size - BLOCK_HEAD_BYTES;
  if (room < 0 || size > mask + 1) return undefined;
  const bytes = new Uint8Array(Math.min(textLen, room));
  if (space.read(rings.data + at + BLOCK_HEAD_BYTES, bytes) < bytes.length) return undefined;
  return textOfBytes(bytes);
}
