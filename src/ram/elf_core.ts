/**
 * RAM from an ELF core: what QEMU's `dump-guest-memory` and a kernel's kdump write. Each PT_LOAD's physical
 * address is where it lies in the guest.
 *
 * A file that is cut short is refused, with what is missing: half a memory looks like a whole one. Segments
 * whose place in the file is not 4-aligned cannot be viewed as words and are read page by page; the rest is
 * mapped.
 * @module
 */
import { seekData, seekHole, statFd } from "../../ffi/memfd.ts";
import { Mapping } from "../../ffi/mapping.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { preadInto } from "../../ffi/stream.ts";
import { Fault } from "../base/fault.ts";
import { readU64 } from "../base/layout.ts";
import { MAX_CORE_SEGMENTS, MAX_GUEST_GPA } from "../base/limits.ts";
import type { RamPort, RamSegment } from "../guest/ram_port.ts";

const PAGE_BYTES = 4096;
const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const ET_CORE = 4;
const EM_X86_64 = 62;
const PT_LOAD = 1;

/** A PT_LOAD: which bytes of the file are which RAM. */
interface CoreSegment extends RamSegment {
  readonly fileOffset: number;
}

/** Whether a file's first bytes are those of an ELF file. */
export function isElf(head: Uint8Array): boolean {
  return head.length >= 4 && head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46;
}

/** An ELF core as a RAM source. */
export class ElfCore implements RamPort {
  readonly segments: readonly RamSegment[];
  readonly description: string;
  readonly #fd: OwnedFd;
  readonly #sizeBytes: number;
  readonly #mapping: Mapping;
  readonly #pieces: readonly CoreSegment[];

  /**
   * Reads the headers and maps the file.
   *
   * @param fd the file, open for reading; owned from now on, also when this throws
   * @param name what to call it in messages
   * @throws {Fault} `bad-argument` when it is not an ELF core of x86-64, `refused` when it is cut short or
   *   contradicts itself
   */
  constructor(fd: OwnedFd, name: string) {
    this.#fd = fd;
    this.description = `ELF core ${name}`;
    try {
      this.#sizeBytes = statFd(fd.fd).sizeBytes;
      const pieces = readSegments(fd.fd, name, this.#sizeBytes);
      this.#mapping = Mapping.map(fd.fd, 0, this.#sizeBytes, { write: false });
      const { buffer } = this.#mapping;
      this.#pieces = pieces.map((piece) => ({
        ...piece,
        mapped: piece.fileOffset % 4 === 0 ? { buffer, byteOffset: piece.fileOffset } : undefined,
      }));
    } catch (error) {
      fd.close();
      throw error;
    }
    this.segments = this.#pieces;
  }

  nextData(gpa: number, end: number): number {
    return this.#next(gpa, end, seekData);
  }

  nextHole(gpa: number, end: number): number {
    return this.#next(gpa, end, seekHole);
  }

  fetch(gpa: number, into: Uint8Array<ArrayBuffer>): boolean {
    const piece = this.#pieceAt(gpa);
    if (piece === undefined) return false;
    return preadInto(this.#fd.fd, into, 0, PAGE_BYTES, piece.fileOffset + gpa - piece.gpa) === PAGE_BYTES;
  }

  verify(): void {
    const now = statFd(this.#fd.fd).sizeBytes;
    if (now < this.#sizeBytes) {
      throw new Fault(
        "refused",
        `Cannot read ${this.description}: it shrank from ${this.#sizeBytes} to ${now} bytes`,
      );
    }
    if (this.#mapping.lost) {
      throw new Fault("refused", `Cannot read ${this.description}: it was cut while it was read`);
    }
  }

  /** Ends the mapping and closes the file. */
  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]();
    this.#fd.close();
  }

  #pieceAt(gpa: number): CoreSegment | undefined {
    return this.#pieces.find((piece) => gpa >= piece.gpa && gpa < piece.gpa + piece.sizeBytes);
  }

  /** Holes of the file, rounded so that a page counts as there when any byte of it is. */
  #next(gpa: number, end: number, seek: (fd: number, offset: number) => number): number {
    const piece = this.#pieceAt(gpa);
    if (piece === undefined) return end;
    const shift = piece.fileOffset - piece.gpa;
    const stop = Math.min(end, piece.gpa + piece.sizeBytes);
    const at = seek(this.#fd.fd, gpa + shift);
    if (at < 0 || at - shift >= stop) return stop;
    const round = seek === seekData ? Math.floor : Math.ceil;
    return Math.max(gpa, Math.min(stop, round((at - shift) / PAGE_BYTES) * PAGE_BYTES));
  }
}

function readSegments(fd: number, name: string, sizeBytes: number): CoreSegment[] {
  const header = new Uint8Array(HEADER_BYTES);
  const have = preadInto(fd, header, 0, HEADER_BYTES, 0);
  const view = new DataView(header.buffer);
  const isCore = have === HEADER_BYTES && isElf(header) && header[4] === 2 && header[5] === 1 &&
    view.getUint16(16, true) === ET_CORE && view.getUint16(18, true) === EM_X86_64;
  if (!isCore) {
    throw new Fault("bad-argument", `Cannot open ${name}: it is not an ELF core of an x86-64 machine`);
  }
  const at = readU64(view, 32);
  const count = view.getUint16(56, true);
  if (view.getUint16(54, true) !== PROGRAM_HEADER_BYTES || count === 0 || count > MAX_CORE_SEGMENTS) {
    throw new Fault(
      "refused",
      `Cannot open ${name}: it has ${count} program headers, or headers of another size`,
    );
  }
  const table = new Uint8Array(count * PROGRAM_HEADER_BYTES);
  if (!Number.isSafeInteger(at) || preadInto(fd, table, 0, table.length, at) < table.length) {
    throw new Fault("refused", `Cannot open ${name}: it is cut short within its headers`);
  }
  const segments: CoreSegment[] = [];
  const headers = new DataView(table.buffer);
  for (let i = 0; i < count; i++) {
    const piece = loadSegment(headers, i * PROGRAM_HEADER_BYTES);
    if (piece === undefined) continue;
    const missing = piece.fileOffset + piece.sizeBytes - sizeBytes;
    if (!(missing <= 0)) {
      throw new Fault("refused", `Cannot open ${name}: it is cut short, ${missing} bytes are missing`);
    }
    // Not only larger than any machine: doubles and frame numbers end there.
    if (piece.gpa + piece.sizeBytes > MAX_GUEST_GPA) {
      throw new Fault(
        "refused",
        `Cannot open ${name}: it has memory at 0x${piece.gpa.toString(16)}, and addresses end at 0x${
          MAX_GUEST_GPA.toString(16)
        }`,
      );
    }
    segments.push(piece);
  }
  return sorted(segments, name);
}

function loadSegment(view: DataView, at: number): CoreSegment | undefined {
  if (view.getUint32(at, true) !== PT_LOAD) return undefined;
  const gpa = readU64(view, at + 24);
  const inFile = readU64(view, at + 32);
  // Whole pages only: a kernel's last segment may end in the middle of one.
  const skip = (PAGE_BYTES - gpa % PAGE_BYTES) % PAGE_BYTES;
  const sizeBytes = Math.floor((inFile - skip) / PAGE_BYTES) * PAGE_BYTES;
  return sizeBytes > 0 ? { gpa: gpa + skip, sizeBytes, fileOffset: readU64(view, at + 8) + skip } : undefined;
}

/** By address; a segment that tells the same RAM again (kdump lists the kernel's image twice) is dropped. */
function sorted(segments: readonly CoreSegment[], name: string): CoreSegment[] {
  const out: CoreSegment[] = [];
  for (const piece of [...segments].sort((a, b) => a.gpa - b.gpa || b.sizeBytes - a.sizeBytes)) {
    const last = out[out.length - 1];
    const end = last === undefined ? 0 : last.gpa + last.sizeBytes;
    if (piece.gpa + piece.sizeBytes <= end) continue;
    if (piece.gpa < end) throw new Fault("refused", `Cannot open ${name}: two of its segments overlap`);
    out.push(piece);
  }
  if (out.length === 0) throw new Fault("refused", `Cannot open ${name}: it holds no memory`);
  return out;
}
