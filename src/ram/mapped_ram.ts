/**
 * RAM in files that are mapped read-only: a QEMU's backends, a raw image, a core.
 *
 * If possible, all pieces are mapped into one range at their guest-physical addresses, so that address and
 * index are equal (the walker's fast case); huge pages and ranges above {@linkcode MAX_LINEAR_BYTES} are
 * mapped file by file. The files stay open: whether they are still complete is checked before and after use,
 * since the lost part of a file reads as zeros.
 * @module
 */
import { seekData, seekHole, statFd } from "../../ffi/memfd.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { findIn } from "../../ffi/memory_copy.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { Fault } from "../base/fault.ts";
import { MAX_LINEAR_BYTES } from "../base/limits.ts";
import type { RamPort, RamSegment } from "../guest/ram_port.ts";
import type { RamPiece } from "./ram_layout.ts";

/** A file of RAM. */
export interface RamFile {
  /** The file, open for reading; owned by the {@linkcode MappedRam}. */
  readonly fd: OwnedFd;
  /** The size that it must keep, bytes. */
  readonly sizeBytes: number;
  /** Whether it has huge pages, which can only be mapped as a whole. */
  readonly huge: boolean;
  /** Tells which pages are present, by file offset, if the file cannot; otherwise its own holes are used. */
  readonly presence?: FilePresence | undefined;
}

/** Presence of a file's pages, by offset. */
export interface FilePresence extends Disposable {
  /** First offset in [from, end) that is present (`wanted`) or not; otherwise `end`. */
  next(from: number, end: number, wanted: boolean): number;
}

/** Mapped files as a RAM source. */
export class MappedRam implements RamPort {
  readonly segments: readonly RamSegment[];
  readonly description: string;
  /** The files, in the order of {@linkcode RamPiece.backend}. */
  readonly files: readonly RamFile[];
  /** Where their parts are in the guest. */
  readonly pieces: readonly RamPiece[];
  readonly #mappings: Mapping[] = [];

  /**
   * Maps the files.
   *
   * @param description its description for a person
   * @param files the files; owned from now on, even if this throws
   * @param pieces where their parts are in the guest, checked
   * @throws {OsError} when a file cannot be mapped
   */
  constructor(description: string, files: readonly RamFile[], pieces: readonly RamPiece[]) {
    this.description = description;
    this.files = files;
    this.pieces = pieces;
    try {
      this.verify();
      this.segments = this.#map();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  nextData(gpa: number, end: number): number {
    return this.#next(gpa, end, true);
  }

  nextHole(gpa: number, end: number): number {
    return this.#next(gpa, end, false);
  }

  /** Never called, because every segment is mapped. */
  fetch(_gpa: number, _into: Uint8Array<ArrayBuffer>): boolean {
    return false;
  }

  find(buffer: ArrayBufferLike, at: number, length: number, pattern: Uint8Array): number | undefined {
    const mapping = this.#mappings.find((one) => one.buffer === buffer);
    return mapping === undefined ? undefined : findIn(mapping, at, length, pattern);
  }

  letGo(): void {
    for (const mapping of this.#mappings) mapping.letGo();
  }

  verify(): void {
    checkSizes(this.description, this.files);
    if (this.#mappings.some((mapping) => mapping.lost)) {
      throw new Fault(
        "refused",
        `Cannot read ${this.description}: its file was cut while it was read; open it again`,
      );
    }
  }

  /** Unmaps and closes the files. */
  [Symbol.dispose](): void {
    for (const mapping of this.#mappings) mapping[Symbol.dispose]();
    for (const { fd, presence } of this.files) {
      presence?.[Symbol.dispose]();
      fd.close();
    }
  }

  #map(): RamSegment[] {
    const last = this.pieces[this.pieces.length - 1] as RamPiece;
    const end = last.gpa + last.sizeBytes;
    if (end <= MAX_LINEAR_BYTES && !this.files.some((file) => file.huge)) {
      const mapping = Mapping.assemble(
        end,
        this.pieces.map(({ gpa, fileOffset, sizeBytes, backend }) => ({
          at: gpa,
          fd: this.#file(backend).fd.fd,
          offset: fileOffset,
          length: sizeBytes,
        })),
      );
      this.#mappings.push(mapping);
      return this.pieces.map(({ gpa, sizeBytes }) => ({
        gpa,
        sizeBytes,
        mapped: { buffer: mapping.buffer, byteOffset: gpa },
      }));
    }
    const whole = this.files.map((file) => Mapping.map(file.fd.fd, 0, file.sizeBytes, { write: false }));
    this.#mappings.push(...whole);
    return this.pieces.map(({ gpa, fileOffset, sizeBytes, backend }) => ({
      gpa,
      sizeBytes,
      mapped: { buffer: (whole[backend] as Mapping).buffer, byteOffset: fileOffset },
    }));
  }

  #file(backend: number): RamFile {
    return this.files[backend] as RamFile;
  }

  #next(gpa: number, end: number, wanted: boolean): number {
    const piece = this.pieces.find((p) => gpa >= p.gpa && gpa < p.gpa + p.sizeBytes);
    if (piece === undefined) return end;
    const file = this.#file(piece.backend);
    const shift = piece.fileOffset - piece.gpa;
    const stop = Math.min(end, piece.gpa + piece.sizeBytes);
    const from = gpa + shift;
    let at: number;
    if (file.presence !== undefined) at = file.presence.next(from, stop + shift, wanted);
    else at = wanted ? seekData(file.fd.fd, from) : seekHole(file.fd.fd, from);
    return at < 0 || at - shift > stop ? stop : at - shift;
  }
}

/**
 * Checks whether files still have their size.
 *
 * @param description their description for a person
 * @throws {Fault} `refused` when one shrank
 */
export function checkSizes(description: string, files: readonly Pick<RamFile, "fd" | "sizeBytes">[]): void {
  for (const { fd, sizeBytes } of files) {
    const now = statFd(fd.fd).sizeBytes;
    if (now >= sizeBytes) continue;
    throw new Fault(
      "refused",
      `Cannot read ${description}: its file shrank from ${sizeBytes} to ${now} bytes; open it again`,
    );
  }
}
