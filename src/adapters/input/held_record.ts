/**
 * The record of keys and buttons that may be down, in a small file, for the next daemon to release if this
 * one is killed.
 *
 * The record may contain more than is down, but never less: it is written before a key that it lacks is
 * pressed, and not when one is released. An unnecessary key-up has no effect in a guest; a missing one leaves
 * a stuck key. So typing the same keys again writes nothing.
 *
 * Layout, little-endian: 0 u32 magic `VSHK` · 4 u32 version 1 · 8 u32 QEMU's pid · 12 u32 count · 16 count ×
 * u32 (kind << 16 | code) · then u32 FNV-1a of all before it.
 * @module
 */
import { INPUT_KIND } from "../../event/body_number.ts";
import { codeOfEntry, kindOfEntry } from "./held_set.ts";
import { KEY_MAX } from "./input_frame.ts";

/** The storage of a record. */
export interface HeldStore {
  /** The previous record's bytes; empty if there is none. */
  load(): Uint8Array;
  /** Replaces the record; the bytes are valid during the call. Must not throw. */
  save(bytes: Uint8Array<ArrayBuffer>, length: number): void;
  /** Ends it. `keep`: the record stays for the next daemon; otherwise it is removed. */
  close(keep: boolean): void;
}

/** The contents of a record. */
export interface HeldRecord {
  /** The process in which the keys are down; 0 unknown. */
  readonly pid: number;
  /** Keys and buttons, as entries of the held set. */
  readonly entries: readonly number[];
}

const MAGIC = 0x4b48_5356;
const VERSION = 1;
const HEAD_BYTES = 16;
const WORD = 4;
const MAX_ENTRIES = 1024;
/** Size limit of a record, bytes. */
export const MAX_HELD_RECORD_BYTES: number = HEAD_BYTES + WORD * MAX_ENTRIES + WORD;

/** Writes a record into `bytes` and returns its length. Entries above the limit are omitted. */
export function encodeHeldRecord(bytes: Uint8Array, pid: number, entries: Iterable<number>): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let count = 0;
  for (const entry of entries) {
    if (count === MAX_ENTRIES) break;
    view.setUint32(HEAD_BYTES + WORD * count++, entry, true);
  }
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, VERSION, true);
  view.setUint32(8, pid, true);
  view.setUint32(12, count, true);
  const end = HEAD_BYTES + WORD * count;
  view.setUint32(end, checksum(bytes, end), true);
  return end + WORD;
}

/** Parses a record; undefined if it is not valid, since a file is not trusted. */
export function decodeHeldRecord(bytes: Uint8Array): HeldRecord | undefined {
  if (bytes.length < HEAD_BYTES + WORD) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== MAGIC || view.getUint32(4, true) !== VERSION) return undefined;
  const count = view.getUint32(12, true);
  const end = HEAD_BYTES + WORD * count;
  // The file may have the end of an earlier, longer record after it.
  if (count > MAX_ENTRIES || bytes.length < end + WORD) return undefined;
  if (view.getUint32(end, true) !== checksum(bytes, end)) return undefined;
  const entries: number[] = [];
  for (let i = 0; i < count; i++) {
    const entry = view.getUint32(HEAD_BYTES + WORD * i, true);
    const kind = kindOfEntry(entry);
    const code = codeOfEntry(entry);
    if ((kind !== INPUT_KIND.KEY && kind !== INPUT_KIND.BTN) || code === 0 || code > KEY_MAX) {
      return undefined;
    }
    entries.push(entry);
  }
  return { pid: view.getUint32(8, true), entries };
}

function checksum(bytes: Uint8Array, length: number): number {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < length; i++) hash = Math.imul(hash ^ (bytes[i] ?? 0), 0x0100_0193);
  return hash >>> 0;
}
