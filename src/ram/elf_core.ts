/**
 * RAM from an ELF core, as written by QEMU's `dump-guest-memory` and a kernel's kdump. The physical address
 * of each PT_LOAD is its place in the guest; one without a physical address (all ones: the vmalloc area in
 * /proc/kcore) is another view of memory that other segments contain, and is skipped.
 *
 * A truncated file is refused, saying what is missing, because half of a memory looks like a whole one.
 * @module
 */
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { preadInto } from "../../ffi/stream.ts";
import { Fault } from "../base/fault.ts";
import { readU64 } from "../base/layout.ts";
import { MAX_CORE_SEGMENTS } from "../base/limits.ts";
import { type FileSegment, SegmentFile } from "./segment_file.ts";

const PAGE_BYTES = 4096;
const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const ET_CORE = 4;
/** QEMU writes EM_386 while the first vCPU is in 32-bit mode (its firmware), into a 64-bit core. */
const MACHINES = { EM_386: 3, EM_X86_64: 62, EM_AARCH64: 183 };
const PT_LOAD = 1;
/** More program headers than 16 bits can count: the number is in the first section header's sh_info. */
const PN_XNUM = 0xffff;
const SECTION_HEADER_BYTES = 64;
const SH_INFO = 44;
const NO_ADDRESS = 0xffff_ffff;
/** Program headers per read. */
const CHUNK = 1024;

/** Whether a file starts with the magic of ELF. */
export function isElf(head: Uint8Array): boolean {
  return head.length >= 4 && head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46;
}

/** An ELF core as a RAM source. */
export class ElfCore extends SegmentFile {
  /**
   * Reads the headers and maps the file.
   *
   * @param fd the file, open for reading; owned from now on, even if this throws
   * @param name its name in messages
   * @throws {Fault} `bad-argument` when it is not an ELF core of x86-64 or arm64, `refused` when it is
   *   truncated or inconsistent
   */
  constructor(fd: OwnedFd, name: string) {
    super(fd, "ELF core", name, () => readSegments(fd.fd, name));
  }
}

function readSegments(fd: number, name: string): FileSegment[] {
  const header = new Uint8Array(HEADER_BYTES);
  const have = preadInto(fd, header, 0, HEADER_BYTES, 0);
  const view = new DataView(header.buffer);
  const isCore = have === HEADER_BYTES && isElf(header) && header[4] === 2 && header[5] === 1 &&
    view.getUint16(16, true) === ET_CORE && Object.values(MACHINES).includes(view.getUint16(18, true));
  if (!isCore) {
    throw new Fault(
      "bad-argument",
      `Cannot open ${name}: it is not an ELF core of an x86-64 or arm64 machine`,
    );
  }
  const at = readU64(view, 32);
  const count = countHeaders(fd, name, view);
  if (view.getUint16(54, true) !== PROGRAM_HEADER_BYTES || count === 0 || count > MAX_CORE_SEGMENTS) {
    throw new Fault(
      "refused",
      `Cannot open ${name}: it has ${count} program headers, or headers of another size`,
    );
  }
  const segments: FileSegment[] = [];
  const table = new Uint8Array(Math.min(count, CHUNK) * PROGRAM_HEADER_BYTES);
  const headers = new DataView(table.buffer);
  for (let first = 0; first < count; first += CHUNK) {
    const some = Math.min(CHUNK, count - first);
    readWhole(fd, name, table, some * PROGRAM_HEADER_BYTES, at + first * PROGRAM_HEADER_BYTES);
    for (let i = 0; i < some; i++) {
      const piece = loadSegment(headers, i * PROGRAM_HEADER_BYTES);
      if (piece !== undefined) segments.push(piece);
    }
  }
  return segments;
}

function countHeaders(fd: number, name: string, header: DataView): number {
  const count = header.getUint16(56, true);
  if (count !== PN_XNUM) return count;
  const section = new Uint8Array(SECTION_HEADER_BYTES);
  readWhole(fd, name, section, SECTION_HEADER_BYTES, readU64(header, 40));
  return new DataView(section.buffer).getUint32(SH_INFO, true);
}

function readWhole(
  fd: number,
  name: string,
  into: Uint8Array<ArrayBuffer>,
  length: number,
  at: number,
): void {
  if (Number.isSafeInteger(at) && preadInto(fd, into, 0, length, at) === length) return;
  throw new Fault("refused", `Cannot open ${name}: it is cut short within its headers`);
}

function loadSegment(view: DataView, at: number): FileSegment | undefined {
  if (view.getUint32(at, true) !== PT_LOAD) return undefined;
  if (view.getUint32(at + 24, true) === NO_ADDRESS && view.getUint32(at + 28, true) === NO_ADDRESS) {
    return undefined;
  }
  const gpa = readU64(view, at + 24);
  const inFile = readU64(view, at + 32);
  // Whole pages only: a kernel's last segment may end within one.
  const skip = (PAGE_BYTES - gpa % PAGE_BYTES) % PAGE_BYTES;
  const sizeBytes = Math.floor((inFile - skip) / PAGE_BYTES) * PAGE_BYTES;
  return sizeBytes > 0 ? { gpa: gpa + skip, sizeBytes, fileOffset: readU64(view, at + 8) + skip } : undefined;
}
