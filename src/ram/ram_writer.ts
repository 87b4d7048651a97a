/**
 * The only code that writes guest RAM: a writable mapping of a QEMU's shared backends, made at the first
 * permitted write.
 *
 * It stores bytes at physical runs that its caller has translated and checked; it checks no permissions
 * itself. An aligned write of 1, 2, 4 or 8 bytes within one run is a single atomic store; anything else is
 * copied run by run.
 * @module
 */
import { Mapping } from "../../ffi/mapping.ts";
import { statFd } from "../../ffi/memfd.ts";
import { OsError } from "../../ffi/os_error.ts";
import { storeAtomic } from "../../ffi/shared_word.ts";
import { Fault } from "../base/fault.ts";
import type { PhysicalRun } from "../guest/address_space.ts";
import { openForWriting } from "./open_for_writing.ts";
import type { QemuBackend } from "./qemu_backends.ts";
import type { RamPiece } from "./ram_layout.ts";

/** A run of a backend's bytes. */
interface FileRun {
  readonly mapping: Mapping;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** Writable guest RAM. */
export class RamWriter implements Disposable {
  readonly #mappings: Mapping[] = [];
  readonly #pieces: readonly RamPiece[];

  /**
   * Maps the backends for writing.
   *
   * @param backends the QEMU's shared backends
   * @param fds their files, open for reading, in that order; borrowed for the call
   * @param pieces where their parts are in the guest
   * @throws {Fault} `not-supported` when there are none, `refused` when one may not be opened for writing or
   *   shrank
   */
  constructor(backends: readonly QemuBackend[], fds: readonly number[], pieces: readonly RamPiece[]) {
    if (backends.length === 0) {
      throw new Fault("not-supported", "Cannot write guest RAM: QEMU has no shared memory backend");
    }
    this.#pieces = pieces;
    try {
      for (const [i, { sealed, sizeBytes, id }] of backends.entries()) {
        using fd = openForWriting(fds[i] as number, sealed);
        if (statFd(fd.fd).sizeBytes < sizeBytes) {
          throw new Fault("refused", `Cannot write guest RAM: backend ${id} shrank`);
        }
        this.#mappings.push(Mapping.map(fd.fd, 0, sizeBytes, { write: true }));
      }
    } catch (error) {
      this[Symbol.dispose]();
      if (!(error instanceof OsError)) throw error;
      throw new Fault(
        "refused",
        `Cannot open guest RAM for writing: ${error.reason}; run as QEMU's user, or as root`,
        {
          cause: error,
        },
      );
    }
  }

  /**
   * Stores bytes at physical runs, in order.
   *
   * @param runs where, all of it in RAM
   * @param bytes as many as the runs contain
   * @returns false if a run is not RAM of these backends; then nothing was stored
   * @throws {Fault} `refused` when a backend was truncated meanwhile; then the bytes are lost
   */
  store(runs: readonly PhysicalRun[], bytes: Uint8Array): boolean {
    const places: FileRun[] = [];
    for (const { gpa, sizeBytes } of runs) {
      if (!this.#locate(gpa, sizeBytes, places)) return false;
    }
    if (places.reduce((sum, place) => sum + place.sizeBytes, 0) !== bytes.length) return false;
    const [only] = places;
    if (only === undefined || places.length > 1 || !this.#storeAtOnce(only, bytes)) {
      let done = 0;
      for (const { mapping, offset, sizeBytes } of places) {
        new Uint8Array(mapping.buffer, offset, sizeBytes).set(bytes.subarray(done, done + sizeBytes));
        done += sizeBytes;
      }
    }
    if (places.some(({ mapping }) => mapping.lost)) {
      throw new Fault("refused", "Cannot write guest RAM: its file was truncated");
    }
    return true;
  }

  /** Unmaps. */
  [Symbol.dispose](): void {
    for (const mapping of this.#mappings) mapping[Symbol.dispose]();
  }

  #storeAtOnce(place: FileRun, bytes: Uint8Array): boolean {
    const size = bytes.length;
    if ((size !== 1 && size !== 2 && size !== 4 && size !== 8) || place.offset % size !== 0) return false;
    const word = new DataView(new ArrayBuffer(8));
    bytes.forEach((byte, i) => word.setUint8(i, byte));
    storeAtomic(place.mapping, place.offset, size, word.getUint32(0, true), word.getUint32(4, true));
    return true;
  }

  #locate(gpa: number, sizeBytes: number, into: FileRun[]): boolean {
    for (let at = gpa; at < gpa + sizeBytes;) {
      const piece = this.#pieces.find((p) => at >= p.gpa && at < p.gpa + p.sizeBytes);
      const mapping = piece === undefined ? undefined : this.#mappings[piece.backend];
      if (piece === undefined || mapping === undefined) return false;
      const n = Math.min(gpa + sizeBytes - at, piece.gpa + piece.sizeBytes - at);
      into.push({ mapping, offset: piece.fileOffset + at - piece.gpa, sizeBytes: n });
      at += n;
    }
    return true;
  }
}
