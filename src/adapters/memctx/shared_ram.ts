/**
 * A VM's RAM as MEMCTX holds it while the seam is up: the read-only files, where their parts lie, and the way to more descriptors.
 *
 * A memfd's inode is 0777: whoever has a read-only descriptor of it could open it anew for writing through /proc/self/fd. So its mode is
 * taken down to 0400 before any descriptor leaves; QEMU's own descriptor and mappings are not touched by that. A file that has a
 * name keeps the mode that its owner gave it: who may open it for writing is the owner's decision, and needs no descriptor of ours.
 * @module
 */
import { fchmod, OPEN, reopen, statFd } from "../../../ffi/memfd.ts";
import { isOsError, OsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { Fault } from "../../base/fault.ts";
import { openQemuRam, type QemuRam } from "../../ram/qemu_ram.ts";
import type { RamPiece } from "../../ram/ram_layout.ts";
import type { ScanFile } from "./scan_port.ts";
import { lowBytesOf, wholeRam } from "./whole_ram.ts";

/** Read by the owner: enough for whoever opens it again as QEMU's user or as root. */
const OWNER_READS = 0o400;
const OWNER_WRITES = 0o600;
const OTHERS_WRITE = 0o022;

/** RAM that can be shared. */
export class SharedRam implements Disposable {
  /** QEMU's process. */
  readonly pid: number;
  /** Where the files' parts lie, sorted by address. */
  readonly pieces: readonly RamPiece[];
  /** RAM in all. */
  readonly ramBytes: number;
  /** RAM below the 4 GiB hole. */
  readonly lowBytes: number;
  readonly #ram: QemuRam;

  private constructor(pid: number, ram: QemuRam) {
    this.pid = pid;
    this.#ram = ram;
    this.pieces = wholeRam(ram.pieces, ram.backends);
    this.ramBytes = this.pieces.reduce((sum, piece) => sum + piece.sizeBytes, 0);
    this.lowBytes = lowBytesOf(this.pieces);
  }

  /**
   * Opens a QEMU's RAM and sees to it that nobody else can open it for writing by way of us.
   *
   * @param pid the QEMU process
   * @param flatView the text of `info mtree -f`
   * @param wanted which kind of backend the config asks for
   * @throws {Fault} `not-supported` when RAM is not shared, or another kind than wanted; `refused` when it may not be opened or does not fit
   */
  static open(pid: number, flatView: string, wanted: "auto" | "memfd" | "file"): SharedRam {
    const ram = openQemuRam(pid, { flatView, sharedOnly: true });
    try {
      const kind = ram.access === "memfd" ? "memfd" : "file";
      if (wanted !== "auto" && wanted !== kind) {
        throw new Fault(
          "not-supported",
          `Cannot use the RAM of QEMU ${pid}: it is a ${ram.access}, and the config says memory = "${wanted}"`,
        );
      }
      ram.backends.forEach((backend, i) => {
        if (isMemfd(backend.procPath)) protect(pid, ram.fds[i] as number);
      });
      return new SharedRam(pid, ram);
    } catch (error) {
      ram[Symbol.dispose]();
      throw error;
    }
  }

  /** How many files. */
  get fileCount(): number {
    return this.#ram.fds.length;
  }

  /** Size of a file. */
  sizeOf(file: number): number {
    return this.#ram.backends[file]?.sizeBytes ?? 0;
  }

  /** Fresh read-only openings of all files, for an event to own. */
  openReadOnly(): OwnedFd[] {
    return openAll(this.#ram.fds, (fd) => reopen(fd, OPEN.READ_ONLY));
  }

  /**
   * Openings for reading and writing: for the writer alone, never to be handed on.
   *
   * @throws {OsError} when this process may not write the files
   */
  openWritable(): OwnedFd[] {
    return openAll(this.#ram.fds, openForWriting);
  }

  /** What a scanner needs to find the files. */
  scanFiles(): ScanFile[] {
    return this.#ram.fds.map((fd, i) => {
      const { dev, ino } = statFd(fd);
      const backend = this.#ram.backends[i];
      const sizeBytes = backend?.sizeBytes ?? 0;
      const hostAddress = backend?.hostAddress ?? 0;
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
    this.#ram.memory.verify();
  }

  /** Closes the files. */
  [Symbol.dispose](): void {
    this.#ram[Symbol.dispose]();
  }

  #inodes(): string[] {
    return this.scanFiles().map(({ dev, ino }) => `${dev}:${ino}`);
  }
}

/** A memfd has no name and no owner's wish behind its mode; with huge pages it is one all the same. */
function isMemfd(procPath: string): boolean {
  return Deno.readLinkSync(procPath).startsWith("/memfd:");
}

function protect(pid: number, fd: number): void {
  try {
    fchmod(fd, OWNER_READS);
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    // Somebody else's file, but closed to others already: as good.
    if ((statFd(fd).mode & OTHERS_WRITE) === 0) return;
    throw new Fault(
      "refused",
      `Cannot share the RAM of QEMU ${pid}: its memfd stays writable for others (${error.errnoName}); run the daemon as QEMU's user, or as root`,
      { cause: error },
    );
  }
}

/** Root writes whatever the mode is. The owner gives itself the right for the moment of opening; others never have it. */
function openForWriting(fd: number): OwnedFd {
  try {
    return reopen(fd, OPEN.READ_WRITE);
  } catch (error) {
    if (!isOsError(error, "EACCES") || (statFd(fd).mode & 0o777) !== OWNER_READS) throw error;
  }
  fchmod(fd, OWNER_WRITES);
  try {
    return reopen(fd, OPEN.READ_WRITE);
  } finally {
    fchmod(fd, OWNER_READS);
  }
}

function openAll(fds: readonly number[], open: (fd: number) => OwnedFd): OwnedFd[] {
  const out: OwnedFd[] = [];
  try {
    for (const fd of fds) out.push(open(fd));
    return out;
  } catch (error) {
    for (const fd of out) fd.close();
    throw error;
  }
}
