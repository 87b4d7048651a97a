/**
 * A process of this host, known once and for all: its folder in /proc is opened, and everything is read
 * through that descriptor. It stands for that one process as a pidfd does; when the process has ended, every
 * look through it fails, whoever has got its number.
 *
 * A process can make a look at its mappings or its command line as slow as it likes: only a thread that may
 * wait for it reads them.
 * @module
 */
import { OPEN, reopen } from "../../ffi/memfd.ts";
import { isOsError, OsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { readInto } from "../../ffi/stream.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { MAX_PROC_DESCRIPTORS, MAX_PROC_TEXT_BYTES } from "../base/limits.ts";

/**
 * The four users that a process has: real, effective, saved, and for files. They differ in a set-uid program
 * alone.
 */
export type ProcessUids = readonly [real: number, effective: number, saved: number, files: number];

/** A descriptor of another process, and what its link says. */
export interface ListedDescriptor {
  /** Its number there. */
  readonly fd: number;
  /** What it is open on, by name: a hint, which the process may have chosen. */
  readonly target: string;
}

const CHUNK_BYTES = 65_536;

/** A process. */
export class HostProcess implements Disposable {
  /** Its number, for messages. */
  readonly pid: number;
  /**
   * When it was started, in the kernel's ticks since boot: no other process has had both number and start.
   */
  readonly started: string;
  readonly #folder: OwnedFd;

  private constructor(pid: number, folder: OwnedFd) {
    this.pid = pid;
    this.#folder = folder;
    this.started = startOf(this.read("stat"));
  }

  /**
   * Gets hold of a process.
   *
   * @param pid its number
   * @param started its start, when it was seen before: another process with its number is not taken for it
   * @throws {Fault} `no-endpoint` when there is none, or none with that start; `refused` when it may not be
   *   looked at
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
   * @throws {Fault} `no-endpoint` when it has ended, `refused` when it may not be looked at, `too-large` when
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

  /** Its users, as they are now. */
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
   * Takes what one of its descriptors is open on, once: whatever the process does with that number from now
   * on, it is this file. Nothing is opened: no FIFO waits, no device notices, no file system is asked.
   *
   * pidfd_getfd would give the descriptor itself, and is not used: it wants the right to trace (where this
   * wants the right to look), a service's system call filter ends who calls it, and to close what it gave
   * asks the file's file system, which may be a hostile user's FUSE.
   *
   * @param fd its number there
   * @returns a descriptor that only marks the file; open that anew to read
   * @throws {Fault} as {@linkcode HostProcess.read}; `no-endpoint` also when it has no such descriptor any
   *   more
   */
  pin(fd: number): OwnedFd {
    return this.openFile(`fd/${fd}`, OPEN.PATH);
  }

  /** Lets go of it. */
  [Symbol.dispose](): void {
    this.#folder.close();
  }

  get #path(): string {
    return `/proc/self/fd/${this.#folder.fd}`;
  }
}

/**
 * Reads one file of a process that is looked at once.
 *
 * @throws {Fault} as {@linkcode HostProcess.read}
 */
export function readProc(pid: number, name: string): string {
  using process = HostProcess.open(pid);
  return process.read(name);
}

/**
 * The start in the text of /proc/PID/stat; "" when it has none.
 *
 * @param stat the text: a name in parentheses, which may hold anything, then numbers, the 22nd field being
 *   the start
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
    // Closed between the listing and now, or a name that is not valid text: none of QEMU's RAM.
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.InvalidData) return undefined;
    throw error;
  }
}

function faultOf(pid: number, error: unknown): Fault {
  if (error instanceof Fault && !(error instanceof OsError)) return error;
  // A process that ended in between gives ESRCH, for which Deno has no class.
  const isGone = isOsError(error, "ENOENT") || isOsError(error, "ESRCH") ||
    error instanceof Deno.errors.NotFound || /os error 3\b/.test(messageOf(error));
  if (isGone) return new Fault("no-endpoint", `Cannot look at process ${pid}: there is none`);
  return new Fault(
    "refused",
    `Cannot look at process ${pid}: ${messageOf(error)}; run as its user, or as root`,
    { cause: error },
  );
}
