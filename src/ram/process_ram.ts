/**
 * RAM read through /proc/PID/mem: for a QEMU without a shared backend. Slower than a mapping (one system call
 * per page) and without an fd to pass on, but it allocates nothing, and works for any VM that the caller may
 * trace.
 * @module
 */
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { preadInto } from "../../ffi/stream.ts";
import { OsError } from "../../ffi/os_error.ts";
import { Fault } from "../base/fault.ts";
import type { RamPort, RamSegment } from "../guest/ram_port.ts";
import type { HostProcess } from "./host_process.ts";
import { Pagemap } from "./pagemap.ts";
import type { RamPiece } from "./ram_layout.ts";

const PAGE_BYTES = 4096;

/** A process's memory as a RAM source. */
export class ProcessRam implements RamPort {
  readonly segments: readonly RamSegment[];
  readonly description: string;
  readonly #pid: number;
  readonly #memory: OwnedFd;
  readonly #pagemap: Pagemap;
  readonly #pieces: readonly RamPiece[];
  readonly #hostAddress: number;

  /**
   * Takes over access to a process's memory.
   *
   * @param process the process; borrowed for the call
   * @param memory its /proc/PID/mem, which stays that of the program that ran when it was opened; owned,
   *   unless this throws
   * @param hostAddress the start of its RAM block (QMP's gpa2hva, or its only mapping of RAM's size)
   * @param pieces where the block's parts are in the guest
   * @throws {Fault} when it may not be accessed
   */
  constructor(process: HostProcess, memory: OwnedFd, hostAddress: number, pieces: readonly RamPiece[]) {
    this.#pid = process.pid;
    this.description = `memory of process ${process.pid}`;
    this.#hostAddress = hostAddress;
    this.#pieces = pieces;
    this.segments = pieces.map(({ gpa, sizeBytes }) => ({ gpa, sizeBytes }));
    this.#memory = memory;
    this.#pagemap = new Pagemap(process);
  }

  nextData(gpa: number, end: number): number {
    return this.#next(gpa, end, true);
  }

  nextHole(gpa: number, end: number): number {
    return this.#next(gpa, end, false);
  }

  fetch(gpa: number, into: Uint8Array<ArrayBuffer>): boolean {
    const host = this.#hostOf(gpa);
    if (host === undefined) return false;
    try {
      return preadInto(this.#memory.fd, into, 0, PAGE_BYTES, host) === PAGE_BYTES;
    } catch (error) {
      // The block is no longer mapped there: the process is ending.
      if (error instanceof OsError) return false;
      throw error;
    }
  }

  verify(): void {
    // A process that has ended reads as empty.
    const byte = new Uint8Array(1);
    const have = preadInto(this.#memory.fd, byte, 0, 1, this.#hostAddress);
    if (have !== 1) {
      throw new Fault("seam-down", `Cannot read the guest's RAM: process ${this.#pid} has ended`);
    }
  }

  /** Closes both files. */
  [Symbol.dispose](): void {
    this.#pagemap[Symbol.dispose]();
    this.#memory.close();
  }

  #hostOf(gpa: number): number | undefined {
    const piece = this.#pieces.find((p) => gpa >= p.gpa && gpa < p.gpa + p.sizeBytes);
    return piece === undefined ? undefined : this.#hostAddress + piece.fileOffset + gpa - piece.gpa;
  }

  #next(gpa: number, end: number, wanted: boolean): number {
    const host = this.#hostOf(gpa);
    if (host === undefined) return end;
    return gpa + (this.#pagemap.next(host, host + (end - gpa), wanted) - host);
  }
}
