/**
 * The header of an ELF core (x86-64 and arm64, System V ABI): what precedes the memory, and the offset of
 * each piece of memory in the file. It reads and writes nothing itself: the caller writes the header at the
 * start and each piece at its offset, and leaves zeros as holes.
 * @module
 */
import { assert } from "../base/assert.ts";
import { PAGE_BYTES } from "../guest/physical_memory.ts";

const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const ET_CORE = 4;
/** e_machine of each architecture for which cores are written. */
const MACHINES: Readonly<Record<CoreMachine, number>> = { "x86-64": 62, aarch64: 183 };
const PT_LOAD = 1;
const PT_NOTE = 4;

/**
 * Maximum number of pieces in one core: 0xffff headers would mean that the number is elsewhere, which few
 * readers support.
 */
export const MAX_CORE_LOADS = 60_000;

/** Permissions of a piece, as PF_X, PF_W and PF_R of its header. */
export const PF = { X: 1, W: 2, R: 4 } as const;

/** A piece of memory in a core. */
export interface CoreLoad {
  /** Its virtual address, as a double (src/base/ids.ts); page-aligned, so that it is exact. */
  readonly vaddr: number;
  /** Its physical address; 0 in the core of a process. */
  readonly paddr: number;
  /** Its size, bytes, whole pages. */
  readonly sizeBytes: number;
  /** Bits of {@linkcode PF}. */
  readonly flags: number;
}

/** A note of a core. */
export interface CoreNote {
  /** The namespace of its type: "CORE", "VMCOREINFO". */
  readonly name: string;
  /** Its type within that namespace. */
  readonly type: number;
  /** Its contents. */
  readonly desc: Uint8Array;
}

/** The layout of a core. */
export interface CoreLayout {
  /** The contents of the file's start. */
  readonly head: Uint8Array<ArrayBuffer>;
  /** The offset of each piece in the file, in the given order. */
  readonly offsets: readonly number[];
  /** Size of the whole file, bytes. */
  readonly sizeBytes: number;
}

/** The architecture of a core. */
export type CoreMachine = "x86-64" | "aarch64";

/** Lays out a core of at most {@linkcode MAX_CORE_LOADS} pieces. */
export function coreLayout(
  loads: readonly CoreLoad[],
  notes: readonly CoreNote[],
  machine: CoreMachine = "x86-64",
): CoreLayout {
  assert(loads.length <= MAX_CORE_LOADS, "a core's pieces fit its header");
  const noteBytes = notes.map(encodeNote);
  const notesAt = HEADER_BYTES + PROGRAM_HEADER_BYTES * (loads.length + 1);
  const notesSize = noteBytes.reduce((sum, note) => sum + note.length, 0);
  const dataAt = Math.ceil((notesAt + notesSize) / PAGE_BYTES) * PAGE_BYTES;
  const head = new Uint8Array(notesAt + notesSize);
  const view = new DataView(head.buffer);
  // Magic, 64 bits, little-endian, version 1, System V.
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, ET_CORE, true);
  view.setUint16(18, MACHINES[machine], true);
  view.setUint32(20, 1, true);
  view.setBigUint64(32, BigInt(HEADER_BYTES), true);
  view.setUint16(52, HEADER_BYTES, true);
  view.setUint16(54, PROGRAM_HEADER_BYTES, true);
  view.setUint16(56, loads.length + 1, true);
  putHeader(view, HEADER_BYTES, PT_NOTE, notesAt, { vaddr: 0, paddr: 0, sizeBytes: notesSize, flags: 0 });
  const offsets: number[] = [];
  let at = dataAt;
  loads.forEach((load, i) => {
    assert(load.sizeBytes % PAGE_BYTES === 0, "a core's piece is whole pages");
    putHeader(view, HEADER_BYTES + PROGRAM_HEADER_BYTES * (i + 1), PT_LOAD, at, load);
    offsets.push(at);
    at += load.sizeBytes;
  });
  let noteAt = notesAt;
  for (const note of noteBytes) {
    head.set(note, noteAt);
    noteAt += note.length;
  }
  return { head, offsets, sizeBytes: at };
}

function putHeader(view: DataView, at: number, type: number, offset: number, load: CoreLoad): void {
  view.setUint32(at, type, true);
  view.setUint32(at + 4, load.flags, true);
  view.setBigUint64(at + 8, BigInt(offset), true);
  view.setBigInt64(at + 16, BigInt(load.vaddr), true);
  view.setBigUint64(at + 24, BigInt(load.paddr), true);
  view.setBigUint64(at + 32, BigInt(load.sizeBytes), true);
  view.setBigUint64(at + 40, BigInt(load.sizeBytes), true);
  view.setBigUint64(at + 48, BigInt(type === PT_LOAD ? PAGE_BYTES : 4), true);
}

/** Name and description are padded to four bytes each, in cores of 64 bits as well. */
function encodeNote({ name, type, desc }: CoreNote): Uint8Array {
  const nameBytes = new TextEncoder().encode(name + "\0");
  const descAt = 12 + (nameBytes.length + 3 & ~3);
  const bytes = new Uint8Array(descAt + (desc.length + 3 & ~3));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, nameBytes.length, true);
  view.setUint32(4, desc.length, true);
  view.setUint32(8, type, true);
  bytes.set(nameBytes, 12);
  bytes.set(desc, descAt);
  return bytes;
}
