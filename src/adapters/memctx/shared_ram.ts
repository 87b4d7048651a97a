/**
 * A VM's RAM as MEMCTX holds it while the seam is up: the read-only files, where their parts lie, and the way
 * to more descriptors. Nothing is mapped here.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { OPEN, reopen, statFd } from "../../../ffi/memfd.ts";
import { openAll, OwnedFd } from "../../../ffi/owned_fd.ts";
import { checkSizes } from "../../ram/mapped_ram.ts";
import { openForWriting } from "../../ram/open_for_writing.ts";
import type { QemuBackend } from "../../ram/qemu_backends.ts";
import { inFiles } from "../../ram/qemu_ram.ts";
import type { RamPiece } from "../../ram/ram_layout.ts";
import type { OpenedRam, ScanFile, ScanPort } from "./scan_port.ts";
import { lowBytesOf, wholeRam } from "./whole_ram.ts";

/** RAM that can be shared. */
export class SharedRam implements Disposable {
  /** QEMU's process. */
  readonly pid: number;
  /** When it was started. */
  readonly started: string;
  /** Where the files' parts lie, sorted by address. */
  readonly pieces: readonly RamPiece[];
  /** RAM in all. */
  readonly ramBytes: number;
  /** RAM below the 4 GiB hole. */
  readonly lowBytes: number;
  readonly #files: readonly OwnedFd[];
  readonly #backends: readonly QemuBackend[];
  readonly #close: ScanPort["closeRam"];

  /**
   * Takes over what was opened.
   *
   * @param close closes the files at the end
   * @throws {Fault} `refused` when it does not fit together; the files are closed then
   */
  constructor({ pid, started, backends, fds, pieces }: OpenedRam, close: ScanPort["closeRam"]) {
    assert(fds.length === backends.length, "each backend has one file");
    this.pid = pid;
    this.started = started;
    this.#close = close;
    this.#backends = backends;
    this.#files = fds.map((fd) => new OwnedFd(fd));
    try {
      this.pieces = inFiles(wholeRam(pieces, backends), backends);
      this.ramBytes = this.pieces.reduce((sum, piece) => sum + piece.sizeBytes, 0);
      this.lowBytes = lowBytesOf(this.pieces);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** How many files. */
  get fileCount(): number {
    return this.#files.length;
  }

  /** How much of a file there must be. */
  sizeOf(file: number): number {
    const backend = this.#backends[file];
    return backend === undefined ? 0 : backend.fileOffset + backend.sizeBytes;
  }

  /** Fresh read-only openings of all files, for an event to own. */
  openReadOnly(): OwnedFd[] {
    return openAll(this.#files, ({ fd }) => reopen(fd, OPEN.READ_ONLY));
  }

  /**
   * Openings for reading and writing: for the writer alone, never to be handed on.
   *
   * @throws {OsError} when this process may not write the files
   */
  openWritable(): OwnedFd[] {
    return openAll(
      [...this.#files.entries()],
      ([i, { fd }]) => openForWriting(fd, this.#backends[i]?.sealed === true),
    );
  }

  /** What a scanner needs to find the files. */
  scanFiles(): ScanFile[] {
    return this.#files.map(({ fd }, i) => {
      const { dev, ino } = statFd(fd);
      const backend = this.#backends[i];
      const sizeBytes = this.sizeOf(i);
      const hostAddress = (backend?.hostAddress ?? 0) - (backend?.fileOffset ?? 0);
      return { fd, dev, ino, sizeBytes, huge: backend?.kind === "hugetlbfs", hostAddress };
    });
  }

  /** Whether the other is the same RAM in the same places. */
  isSameAs(other: SharedRam): boolean {
    return JSON.stringify([this.pieces, this.#inodes()]) === JSON.stringify([other.pieces, other.#inodes()]);
  }

  /**
   * Looks whether the files are still as large as they were.
   *
   * @throws {Fault} `refused` when one shrank
   */
  verify(): void {
    checkSizes(`RAM of QEMU ${this.pid}`, this.#files.map((fd, i) => ({ fd, sizeBytes: this.sizeOf(i) })));
  }

  /** Closes the files. */
  [Symbol.dispose](): void {
    this.#close(this.#files.map((fd) => fd.release()));
  }

  #inodes(): string[] {
    return this.scanFiles().map(({ dev, ino }) => `${dev}:${ino}`);
  }
}
