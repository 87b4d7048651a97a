/**
 * A process of this host, identified once: its folder in /proc is opened, and everything is read through that
 * descriptor. Like a pidfd, it refers to that one process; after the process has ended, every read fails,
 * even if its pid has been reused.
 *
 * A process can make reading its mappings or command line arbitrarily slow: they are read only on threads
 * that may block.
 * @module
 */
import { OPEN, reopen } from "../../ffi/memfd.ts";
import { isOsError, OsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { readInto } from "../../ffi/stream.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { MAX_PROC_DESCRIPTORS, MAX_PROC_TEXT_BYTES } from "../base/limits.ts";

/** A process's four uids: real, effective, saved, and for files. They differ only in a set-uid program. */
export type ProcessUids = readonly [real: number, effective: number, saved: number, files: number];

/** A descriptor of another process, and its link. */
export interface ListedDescriptor {
  /** Its number in that process. */
  readonly fd: number;
  /** The link's text: a hint, which the process may have chosen. */
  readonly target: string;
}

const CHUNK_BYTES = 65_536;

/** A process. */
export class HostProcess implements Disposable {
  /** Its pid, for messages. */
  readonly pid: number;
  /** Its start time, in the kernel's ticks since boot; unique together with the pid. */
  readonly started: string;
  readonly #folder: OwnedFd;

  private constructor(pid: number, folder: OwnedFd) {
    this.pid = pid;
    this.#folder = folder;
    this.started = startOf(this.read("stat"));
  }

  /**
   * Opens a process.
   *
   * @param pid its pid
   * @param started its start time, if known: a later process with the same pid is refused
   * @throws {Fault} `no-endpoint` when there is none, or none with that start time; `refused` when it may not
   *   be accessed
   */
  static open(pid: number, started = ""): HostProcess {
    let folder: OwnedFd;
    try {
      folder = reopen(`/proc/${pid}`, OPEN.PATH | OPEN.DIRECTORY);
    } catch (error) {
      throw faultOf(pid, error);
    }
    try {
      const process = new HostProcess(pid, folder);
      if (started !== "" && started !== process.started) {
        throw new Fault(
          "no-endpoint",
          `Cannot look at process ${pid}: it has ended, and another one has its number`,
        );
      }
      return process;
    } catch (error) {
      folder.close();
      throw error;
    }
  }

  /**
   * Reads one of its files.
   *
   * @param name "maps", "status", …
   * @throws {Fault} `no-endpoint` when it has ended, `refused` when it may not be accessed, `too-large` when
   *   there is more than a QEMU has
   */
  read(name: string): string {
    using file = this.openFile(name, OPEN.READ_ONLY);
    let bytes = new Uint8Array(CHUNK_BYTES);
    let length = 0;
    try {
      for (;;) {
        const n = readInto(file.fd, bytes, length, bytes.length - length);
        if (n <= 0) break;
        length += n;
        if (length > MAX_PROC_TEXT_BYTES) {
          throw new Fault(
            "too-large",
            `Cannot look at process ${this.pid}: its ${name} has more than ${MAX_PROC_TEXT_BYTES} bytes`,
          );
        }
        if (length === bytes.length) bytes = grown(bytes);
      }
    } catch (error) {
      throw faultOf(this.pid, error);
    }
    return new TextDecoder().decode(bytes.subarray(0, length));
  }

  /**
   * Opens one of its files.
   *
   * @param name "pagemap", "mem", …
   * @param flags of {@linkcode OPEN}
   * @throws {Fault} as {@linkcode HostProcess.read}
   */
  openFile(name: string, flags: number): OwnedFd {
    try {
      return reopen(`${this.#path}/${name}`, flags);
    } catch (error) {
      throw faultOf(this.pid, error);
    }
  }

  /** Its current uids. */
  uids(): ProcessUids {
    const uids = /^Uid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)$/m.exec(this.read("status"))?.slice(1).map(Number);
    if (uids?.length !== 4) throw new Fault("refused", `Cannot tell which user process ${this.pid} has`);
    return uids as unknown as ProcessUids;
  }

  /**
   * Its descriptors, by number. Nothing is opened.
   *
   * @throws {Fault} as {@linkcode HostProcess.read}
   */
  descriptors(): ListedDescriptor[] {
    const out: ListedDescriptor[] = [];
    try {
      for (const { name } of Deno.readDirSync(`${this.#path}/fd`)) {
        const target = linkOf(`${this.#path}/fd/${name}`);
        if (target !== undefined) out.push({ fd: Number(name), target });
        if (out.length <= MAX_PROC_DESCRIPTORS) continue;
        throw new Fault("too-large", `Cannot look at process ${this.pid}: it has too many open files`);
      }
    } catch (error) {
      throw faultOf(this.pid, error);
    }
    return out.sort((a, b) => a.fd - b.fd);
  }

  /**
   * Opens the file of one of its descriptors with O_PATH, once: whatever the process does with that
   * descriptor from now on, it is this file. The file itself is not opened, so no FIFO blocks, no device
   * notices, and no file system is asked.
   *
   * pidfd_getfd, which would return the descriptor itself, is not used: it needs the right to trace (this
   * needs only the right to read), a service's system call filter kills the caller, and closing the result
   * involves the file's file system, which may be a hostile user's FUSE.
   *
   * @param fd its number in that process
   * @returns a descriptor that only refers to the file; to be opened again for reading
   * @throws {Fault} as {@linkcode HostProcess.read}; `no-endpoint` also when it no longer has such a
   *   descriptor
   */
  pin(fd: number): OwnedFd {
    return this.openFile(`fd/${fd}`, OPEN.PATH);
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#folder.close();
  }

  get #path(): string {
    return `/proc/self/fd/${this.#folder.fd}`;
  }
}

/**
 * Reads one file of a process that is needed only once.
 *
 * @throws {Fault} as {@linkcode HostProcess.read}
 */
export function readProc(pid: number, name: string): string {
  using process = HostProcess.open(pid);
  return process.read(name);
}

/**
 * The start time in /proc/PID/stat; "" if missing.
 *
 * @param stat the text: a name in parentheses, which may contain anything, then numbers; the 22nd field is
 *   the start time
 */
export function startOf(stat: string): string {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

function grown(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const more = new Uint8Array(2 * bytes.length);
  more.set(bytes);
  return more;
}

function linkOf(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch (error) {
    // Closed since the listing, or a name that is not valid text: not a file of QEMU's RAM.
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.InvalidData) return undefined;
    throw error;
  }
}

function faultOf(pid: number, error: unknown): Fault {
  if (error instanceof Fault && !(error instanceof OsError)) return error;
  // A process that has just ended gives ESRCH, for which Deno has no class.
  const isGone = isOsError(error, "ENOENT") || isOsError(error, "ESRCH") ||
    error instanceof Deno.errors.NotFound || /os error 3\b/.test(messageOf(error));
  if (isGone) return new Fault("no-endpoint", `Cannot look at process ${pid}: there is none`);
  return new Fault(
    "refused",
    `Cannot look at process ${pid}: ${messageOf(error)}; run as its user, or as root`,
    { cause: error },
  );
}
