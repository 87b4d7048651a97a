/**
 * A lock that is a file: its holder is the only process of its kind, until it unlocks the file or ends in
 * whatever way (the kernel releases flock with the last descriptor). The file tells the holder's pid, is its
 * user's alone (mode 0600, so that nobody else can take the lock and keep the holder out), and is removed by
 * the holder on its way out; one that a crash left is taken over.
 *
 * It is not a lock of the folder itself: everybody who may read a folder may lock it.
 * @module
 */
import { Fault } from "../src/base/fault.ts";
import { cText } from "./c_text.ts";
import { ftruncate, OPEN, statFd } from "./memfd.ts";
import { check, ERRNO, OsError } from "./os_error.ts";
import { OwnedFd } from "./owned_fd.ts";
import { shim } from "./shim.ts";
import { preadInto, pwriteFrom } from "./stream.ts";

const O_CREAT = 0o100;
const O_EXCL = 0o200;
const LOCK_EXCLUSIVE_NONBLOCKING = 2 | 4;
const MODE = 0o600;
const PAUSE_MS = 10;
/**
 * How often the file may be another one when it has been locked: each time somebody else had it in between.
 */
const MAX_ROUNDS = 100;
const LSTAT_INO = 2;

/** How {@linkcode LockFile.take} takes a lock. */
export interface LockOptions {
  /** How long to wait for whoever holds it, ms; 0 unless told: not at all. It blocks the thread. */
  readonly waitMs?: number;
  /** What cannot be done without it, for the message: "listen on /run/x.sock". */
  readonly purpose: string;
}

/** A lock that is held. */
export class LockFile implements Disposable {
  /** Where. */
  readonly path: string;
  readonly #file: OwnedFd;
  readonly #ino: number;

  private constructor(path: string, file: OwnedFd, ino: number) {
    this.path = path;
    this.#file = file;
    this.#ino = ino;
  }

  /**
   * Takes the lock.
   *
   * @throws {Fault} `busy` with the pid of whoever holds it; `refused` when something else has the file's
   *   name
   * @throws {OsError} ENOENT, EACCES, … when the file cannot be made
   */
  static take(path: string, { waitMs = 0, purpose }: LockOptions): LockFile {
    const untilMs = performance.now() + waitMs;
    for (let round = 0; round < MAX_ROUNDS;) {
      const file = openLock(path, purpose);
      try {
        const result = shim().vmsig_flock(file.fd, LOCK_EXCLUSIVE_NONBLOCKING);
        if (result === 0) {
          // Its holder may have removed it between our opening and our locking: then it locks nothing.
          const ino = statFd(file.fd).ino;
          if (inodeOf(path) === ino) {
            writePid(file.fd);
            return new LockFile(path, new OwnedFd(file.release()), ino);
          }
          round++;
        } else if (result !== -ERRNO.EAGAIN && result !== -ERRNO.EINTR) {
          throw new OsError(`lock ${path}`, result);
        } else {
          if (performance.now() >= untilMs) throw busy(path, purpose, file.fd);
          pause(PAUSE_MS);
        }
      } finally {
        file.close();
      }
    }
    throw new Fault("busy", `Cannot ${purpose}: ${path} is replaced by another file each time it is locked`);
  }

  /** Whether the file is still there; without it the lock keeps nobody out. */
  get isThere(): boolean {
    return inodeOf(this.path) === this.#ino;
  }

  /** Lets go, and removes the file if it is still ours. */
  [Symbol.dispose](): void {
    if (this.#file.closed) return;
    // Removed while it is locked: a process that has opened it sees after locking it that it is gone, and
    // makes another.
    if (this.isThere) shim().vmsig_unlink(cText(this.path));
    this.#file.close();
  }
}

function openLock(path: string, purpose: string): OwnedFd {
  const name = cText(path);
  const flags = OPEN.READ_WRITE | OPEN.NOFOLLOW | OPEN.NONBLOCK;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    // First without O_CREAT: in a folder like /tmp the kernel refuses to create over a file of somebody
    // else's, even for root.
    let fd = shim().vmsig_open(name, flags, 0);
    if (fd === -ERRNO.ENOENT) fd = shim().vmsig_open(name, flags | O_CREAT | O_EXCL, MODE);
    if (fd === -ERRNO.EEXIST || fd === -ERRNO.EINTR) continue;
    if (fd === -ERRNO.ELOOP) throw notOurs(path, purpose, "it is a symbolic link");
    if (fd === -ERRNO.EISDIR) throw notOurs(path, purpose, "it is a folder");
    const file = new OwnedFd(check(fd, `${purpose}: open its lock ${path}`));
    const { isRegular, uid } = statFd(file.fd);
    if (isRegular && (uid === Deno.uid() || Deno.uid() === 0)) return file;
    file.close();
    throw notOurs(path, purpose, isRegular ? `it belongs to uid ${uid}` : "it is not a plain file");
  }
  throw new Fault("busy", `Cannot ${purpose}: its lock ${path} comes and goes all the time`);
}

function notOurs(path: string, purpose: string, why: string): Fault {
  return new Fault("refused", `Cannot ${purpose}: ${path} should be its lock, and ${why}; remove it`);
}

function busy(path: string, purpose: string, fd: number): Fault {
  const bytes = new Uint8Array(16);
  const length = preadInto(fd, bytes, 0, bytes.length, 0);
  const pid = /^([1-9][0-9]{0,9})\n/.exec(new TextDecoder().decode(bytes.subarray(0, length)))?.[1];
  const who = pid === undefined ? "another process" : `process ${pid}`;
  return new Fault("busy", `Cannot ${purpose}: ${who} holds ${path}; stop it, or use another place`);
}

function writePid(fd: number): void {
  const bytes = new TextEncoder().encode(`${Deno.pid}\n`) as Uint8Array<ArrayBuffer>;
  ftruncate(fd, 0);
  try {
    pwriteFrom(fd, bytes, 0, bytes.length, 0);
  } catch (error) {
    // A full disk: the lock holds all the same, only the other's message is poorer.
    if (!(error instanceof OsError)) throw error;
  }
}

/** The inode of what has this name; -1 when nothing has. */
function inodeOf(path: string): number {
  const info = new Float64Array(8);
  const result = shim().vmsig_lstat(cText(path), info);
  return result < 0 ? -1 : info[LSTAT_INO] ?? -1;
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
