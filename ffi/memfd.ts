/**
 * Files in memory (memfd) and what vmsig asks of files that it maps: seals, size, holes, a second opening
 * with other rights.
 * @module
 */
import { cText } from "./c_text.ts";
import { check, ERRNO } from "./os_error.ts";
import { OwnedFd } from "./owned_fd.ts";
import { shim } from "./shim.ts";

/** Seals of a memfd: each forbids one operation on the file for ever. */
export const SEAL = { SEAL: 1, SHRINK: 2, GROW: 4, WRITE: 8, FUTURE_WRITE: 16 } as const;

/** Flags of {@linkcode reopen}. */
export const OPEN = {
  READ_ONLY: 0,
  WRITE_ONLY: 1,
  READ_WRITE: 2,
  NOCTTY: 0o400,
  NONBLOCK: 0o4000,
  DIRECTORY: 0o200000,
  NOFOLLOW: 0o400000,
  /**
   * Only a place in the file tree: nothing of the file is opened, not even a device or a FIFO; {@linkcode
   * statFd} works on it.
   */
  PATH: 0o10000000,
} as const;

/** Types of file systems, as {@linkcode fileSystemOf} tells them (linux/magic.h). */
export const FILE_SYSTEM = { TMPFS: 0x0102_1994, HUGETLBFS: 0x9584_58f6, DEVPTS: 0x1cd1 } as const;

const MFD_ALLOW_SEALING = 2;
const MFD_HUGETLB = 4;
const MFD_HUGE_SHIFT = 26;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const S_IFMT = 0o170000;

/** What a descriptor is open on. */
export interface FileStatus {
  /** Bytes; 0 for what has no size. */
  readonly sizeBytes: number;
  /** Bytes that are really there: holes left out. */
  readonly allocatedBytes: number;
  /** Device: with `ino`, which file it is. */
  readonly dev: number;
  /** Inode number. */
  readonly ino: number;
  /** Kind and permission bits. */
  readonly mode: number;
  /** Owner. */
  readonly uid: number;
  /** Group. */
  readonly gid: number;
  /** Whether it is a regular file (a memfd is one). */
  readonly isRegular: boolean;
  /** Whether it is a folder. */
  readonly isDirectory: boolean;
  /** Whether it is a socket. */
  readonly isSocket: boolean;
  /** Whether it is a character device. */
  readonly isCharacterDevice: boolean;
}

/**
 * Makes a file in memory, full of zeros that take no memory yet.
 *
 * @param name what /proc shows; need not be unique
 * @param sizeBytes its size
 * @param options `sealable`: {@linkcode addSeals} will work on it
 */
export function createMemfd(name: string, sizeBytes: number, options: { sealable?: boolean } = {}): OwnedFd {
  const flags = options.sealable === true ? MFD_ALLOW_SEALING : 0;
  const file = new OwnedFd(check(shim().vmsig_memfd_create(cText(name), flags), "memfd_create"));
  try {
    if (sizeBytes !== 0) ftruncate(file.fd, sizeBytes);
  } catch (error) {
    file.close();
    throw error;
  }
  return file;
}

/**
 * Makes an empty file in memory that would have huge pages.
 *
 * @param log2Bytes of its pages: 21 or 30
 * @returns undefined when this kernel has none of that size
 */
export function createHugeMemfd(name: string, log2Bytes: number): OwnedFd | undefined {
  const fd = shim().vmsig_memfd_create(cText(name), MFD_HUGETLB | log2Bytes << MFD_HUGE_SHIFT);
  return fd < 0 ? undefined : new OwnedFd(fd);
}

/**
 * Adds seals, for ever.
 *
 * @param seals of {@linkcode SEAL}, or'ed
 * @throws {OsError} EPERM when it is not sealable, EBUSY when SEAL.WRITE meets a writable mapping
 */
export function addSeals(fd: number, seals: number): void {
  check(shim().vmsig_add_seals(fd, seals), "fcntl F_ADD_SEALS");
}

/** The seals of a file; 0 for one that has none or cannot have any. */
export function getSeals(fd: number): number {
  const seals = shim().vmsig_get_seals(fd);
  return seals === -ERRNO.EINVAL ? 0 : check(seals, "fcntl F_GET_SEALS");
}

/** Sets a file's size. */
export function ftruncate(fd: number, sizeBytes: number): void {
  check(shim().vmsig_ftruncate(fd, sizeBytes), "ftruncate");
}

/**
 * Sets the permission bits of an open file, a memfd's too: whoever may write its inode may open it for
 * writing.
 */
export function fchmod(fd: number, mode: number): void {
  check(shim().vmsig_fchmod(fd, mode), "fchmod");
}

/**
 * Opens a file again, or for the first time: a descriptor with rights, flags and a position of its own. A
 * file that is open already never makes its caller wait, whatever lease its owner has put on it.
 *
 * @param file a descriptor, or a path; what somebody else can put at that path decides what is opened
 * @param flags of {@linkcode OPEN}, or'ed; close-on-exec is always on
 * @throws {OsError} EACCES when this process may not; EAGAIN when its owner holds a lease on it
 */
export function reopen(file: number | string, flags: number): OwnedFd {
  if (typeof file === "string") {
    return new OwnedFd(check(shim().vmsig_open(cText(file), flags, 0), `open ${file}`));
  }
  const path = `/proc/self/fd/${file}`;
  return new OwnedFd(check(shim().vmsig_open(cText(path), flags | OPEN.NONBLOCK, 0), `open ${path}`));
}

/** The type of the file system that a file is in: one of {@linkcode FILE_SYSTEM}, or another number. */
export function fileSystemOf(fd: number): number {
  return check(shim().vmsig_fstatfs(fd), "fstatfs");
}

/** What a descriptor is open on. */
export function statFd(fd: number): FileStatus {
  const out = new Float64Array(8);
  check(shim().vmsig_fstat(fd, out), "fstat");
  const [sizeBytes = 0, dev = 0, ino = 0, mode = 0, uid = 0, gid = 0, , allocatedBytes = 0] = out;
  const kind = mode & S_IFMT;
  return {
    sizeBytes,
    allocatedBytes,
    dev,
    ino,
    mode,
    uid,
    gid,
    isRegular: kind === 0o100000,
    isDirectory: kind === 0o040000,
    isSocket: kind === 0o140000,
    isCharacterDevice: kind === 0o020000,
  };
}

/**
 * The first byte at or after `offset` that is not in a hole. It moves the file's position, which is shared
 * with every duplicate of the descriptor: use it on one from {@linkcode reopen}.
 *
 * @returns -1 when there is only hole up to the end, or `offset` is past the end
 */
export function seekData(fd: number, offset: number): number {
  return seek(fd, offset, SEEK_DATA);
}

/**
 * The first byte at or after `offset` that is in a hole; the end of the file counts as one. It moves the
 * position, like {@linkcode seekData}.
 *
 * @returns -1 when `offset` is past the end
 */
export function seekHole(fd: number, offset: number): number {
  return seek(fd, offset, SEEK_HOLE);
}

/** Sets the file's position, from its beginning. */
export function seekTo(fd: number, offset: number): void {
  check(shim().vmsig_lseek(fd, offset, 0), "lseek");
}

function seek(fd: number, offset: number, whence: number): number {
  const at = shim().vmsig_lseek(fd, offset, whence);
  return at === -ERRNO.ENXIO ? -1 : check(at, "lseek");
}
