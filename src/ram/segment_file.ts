/**
 * RAM stored unchanged in a file, one segment after the other: an ELF core, a LiME image. Each segment is
 * mapped where it is in the file; one whose offset is not a multiple of 4 cannot be viewed as words and is
 * read page by page, and so is a file that is too large to be mapped.
 *
 * A file may contain the same RAM twice (kdump stores the kernel's image separately). That is accepted if
 * both are equal: a few pages of the overlap are compared, and an inconsistent file is refused.
 * @module
 */
import { seekData, seekHole, statFd } from "../../ffi/memfd.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { findIn } from "../../ffi/memory_copy.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { preadInto } from "../../ffi/stream.ts";
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { MAX_GUEST_GPA, MAX_LINEAR_BYTES } from "../base/limits.ts";
import type { RamPort, RamSegment } from "../guest/ram_port.ts";
import { indexAtOrBelow } from "./sorted_search.ts";

const PAGE_BYTES = 4096;
/** Number of pages of an overlap that are compared: the first, the last, and some between. */
const COMPARED_PAGES = 16;

/** Which bytes of the file are which RAM. */
export interface FileSegment {
  /** Guest-physical address, 4 KiB aligned. */
  readonly gpa: number;
  /** A multiple of 4096. */
  readonly sizeBytes: number;
  /** Its offset in the file. */
  readonly fileOffset: number;
}

/** A segment of the file, as used by the walker. */
type ViewedSegment = RamSegment & FileSegment;

/** A file of segments as a RAM source. */
export class SegmentFile implements RamPort {
  readonly segments: readonly RamSegment[];
  readonly description: string;
  readonly #fd: OwnedFd;
  readonly #sizeBytes: number;
  readonly #mapping: Mapping | undefined;
  readonly #pieces: readonly ViewedSegment[];

  /**
   * Reads the segments' places, checks them and maps the file.
   *
   * @param fd the file, open for reading; owned from now on, even if this throws
   * @param what the kind of file: "ELF core"
   * @param name its name in messages
   * @param read returns the segments of the file, given its size in bytes; it may throw
   * @throws {Fault} `refused` when a segment exceeds the file or the largest guest address, or two of them
   *   are inconsistent
   */
  constructor(fd: OwnedFd, what: string, name: string, read: (sizeBytes: number) => readonly FileSegment[]) {
    this.#fd = fd;
    this.description = `${what} ${name}`;
    try {
      this.#sizeBytes = statFd(fd.fd).sizeBytes;
      const pieces = new SegmentList(fd.fd, name, this.#sizeBytes).checked(read(this.#sizeBytes));
      const mapping = this.#sizeBytes > MAX_LINEAR_BYTES
        ? undefined
        : Mapping.map(fd.fd, 0, this.#sizeBytes, { write: false });
      this.#mapping = mapping;
      this.#pieces = pieces.map((piece) => ({
        ...piece,
        mapped: mapping !== undefined && piece.fileOffset % 4 === 0
          ? { buffer: mapping.buffer, byteOffset: piece.fileOffset }
          : undefined,
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

  find(buffer: ArrayBufferLike, at: number, length: number, pattern: Uint8Array): number | undefined {
    const mapping = this.#mapping;
    return mapping?.buffer !== buffer ? undefined : findIn(mapping, at, length, pattern);
  }

  letGo(): void {
    this.#mapping?.letGo();
  }

  verify(): void {
    const now = statFd(this.#fd.fd).sizeBytes;
    if (now < this.#sizeBytes) {
      throw new Fault(
        "refused",
        `Cannot read ${this.description}: it shrank from ${this.#sizeBytes} to ${now} bytes`,
      );
    }
    if (this.#mapping?.lost === true) {
      throw new Fault("refused", `Cannot read ${this.description}: it was cut while it was read`);
    }
  }

  /** Unmaps and closes the file. */
  [Symbol.dispose](): void {
    this.#mapping?.[Symbol.dispose]();
    this.#fd.close();
  }

  #pieceAt(gpa: number): ViewedSegment | undefined {
    const piece = this.#pieces[indexAtOrBelow(this.#pieces.length, gpa, (i) => this.#startOf(i))];
    return piece !== undefined && gpa < piece.gpa + piece.sizeBytes ? piece : undefined;
  }

  #startOf(index: number): number {
    return (this.#pieces[index] as ViewedSegment).gpa;
  }

  /** The file's holes, rounded so that a page counts as present if any byte of it is. */
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

/** Makes a list without overlaps from a file's segments. */
class SegmentList {
  readonly #fd: number;
  readonly #name: string;
  readonly #sizeBytes: number;
  readonly #pages = [new Uint8Array(PAGE_BYTES), new Uint8Array(PAGE_BYTES)] as const;

  constructor(fd: number, name: string, sizeBytes: number) {
    this.#fd = fd;
    this.#name = name;
    this.#sizeBytes = sizeBytes;
  }

  checked(told: readonly FileSegment[]): FileSegment[] {
    const out: FileSegment[] = [];
    for (const piece of [...told].sort((a, b) => a.gpa - b.gpa || b.sizeBytes - a.sizeBytes)) {
      this.#check(piece);
      const last = out[out.length - 1];
      const end = last === undefined ? 0 : last.gpa + last.sizeBytes;
      if (last === undefined || piece.gpa > end) {
        out.push(piece);
        continue;
      }
      const twice = Math.min(piece.sizeBytes, end - piece.gpa);
      if (twice > 0) this.#compare(last, piece, twice);
      const rest = piece.sizeBytes - twice;
      if (rest === 0) continue;
      const fileOffset = piece.fileOffset + twice;
      // Segments that are adjacent in both are merged.
      if (last.fileOffset + last.sizeBytes === fileOffset) {
        out[out.length - 1] = { ...last, sizeBytes: last.sizeBytes + rest };
      } else out.push({ gpa: end, sizeBytes: rest, fileOffset });
    }
    if (out.length === 0) throw this.#refused("it holds no memory");
    return out;
  }

  #check({ gpa, sizeBytes, fileOffset }: FileSegment): void {
    assert(gpa % PAGE_BYTES === 0 && sizeBytes % PAGE_BYTES === 0, "a segment is whole pages");
    const missing = fileOffset + sizeBytes - this.#sizeBytes;
    if (!(missing <= 0)) throw this.#refused(`it is cut short, ${missing} bytes are missing`);
    // Not only larger than any machine: it is also the limit of doubles and frame numbers.
    if (!(gpa + sizeBytes <= MAX_GUEST_GPA)) {
      const [at, last] = [gpa.toString(16), MAX_GUEST_GPA.toString(16)];
      throw this.#refused(`it has memory at 0x${at}, and addresses end at 0x${last}`);
    }
  }

  /** Compares pages of two segments that contain the same RAM. */
  #compare(first: FileSegment, second: FileSegment, sizeBytes: number): void {
    const [a, b] = this.#pages;
    const shift = second.gpa - first.gpa;
    if (first.fileOffset + shift === second.fileOffset) return;
    const pages = sizeBytes / PAGE_BYTES;
    const count = Math.min(pages, COMPARED_PAGES);
    for (let i = 0; i < count; i++) {
      const at = Math.floor(i * (pages - 1) / Math.max(1, count - 1)) * PAGE_BYTES;
      preadInto(this.#fd, a, 0, PAGE_BYTES, first.fileOffset + shift + at);
      preadInto(this.#fd, b, 0, PAGE_BYTES, second.fileOffset + at);
      if (a.every((byte, k) => byte === b[k])) continue;
      const where = (second.gpa + at).toString(16);
      throw this.#refused(
        `two of its segments overlap and tell different bytes for 0x${where}; is it a dump of a machine's memory?`,
      );
    }
  }

  #refused(why: string): Fault {
    return new Fault("refused", `Cannot open ${this.#name}: ${why}`);
  }
}
