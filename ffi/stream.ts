/**
 * Bytes in and out of descriptors: streams, pipes, files. One system call each, into the caller's buffer.
 *
 * Would-block, the end and a peer that is gone are answers, because they are what happens; the rest is
 * thrown. Nothing here loops until all is read or written: the caller does that, because it knows when to
 * wait.
 * @module
 */
import { isPeerGone, sendOne } from "./datagram.ts";
import { check, ERRNO, OsError } from "./os_error.ts";
import { shim } from "./shim.ts";

/**
 * Reads what is there.
 *
 * @param fd borrowed
 * @param bytes where to
 * @param offset first byte in `bytes`
 * @param length at most this many
 * @returns bytes read; 0 at the end; -EAGAIN (-11) when nothing is there yet; -ECONNRESET (-104) when the
 *   peer is gone with something of ours unread
 * @throws {OsError} anything else
 */
export function readInto(fd: number, bytes: Uint8Array<ArrayBuffer>, offset: number, length: number): number {
  checkRange(bytes, offset, length);
  let n: number;
  do n = shim().vmsig_read(fd, bytes, offset, length); while (n === -ERRNO.EINTR);
  if (n >= 0 || n === -ERRNO.EAGAIN || n === -ERRNO.ECONNRESET) return n;
  throw new OsError("read", n);
}

/**
 * Writes as much as fits. A closed pipe or socket raises SIGPIPE, which Deno ignores; for a socket
 * {@linkcode sendOne} of datagram.ts raises none in any program.
 *
 * @returns bytes written; -EAGAIN (-11) when none fits now; -EPIPE (-32) or -ECONNRESET (-104) when the peer
 *   is gone
 * @throws {OsError} anything else
 */
export function writeFrom(
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
  offset: number,
  length: number,
): number {
  checkRange(bytes, offset, length);
  let n: number;
  do n = shim().vmsig_write(fd, bytes, offset, length); while (n === -ERRNO.EINTR);
  if (n >= 0 || n === -ERRNO.EAGAIN || isPeerGone(n)) return n;
  throw new OsError("write", n);
}

/**
 * Sends bytes and descriptors on a unix stream, as QEMU's add-fd wants them. The descriptors go with the
 * first byte.
 *
 * @returns bytes sent, or what {@linkcode sendOne} says
 */
export function sendWithFds(fd: number, bytes: Uint8Array<ArrayBuffer>, fds: ArrayLike<number>): number {
  return sendOne(fd, bytes, 0, bytes.length, fds);
}

/**
 * Reads from a place in a file, without moving its position.
 *
 * @param filePosition where in the file
 * @returns bytes read; 0 at the end
 * @throws {OsError} EIO from /proc/PID/mem where nothing is mapped
 */
export function preadInto(
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
  offset: number,
  length: number,
  filePosition: number,
): number {
  checkRange(bytes, offset, length);
  return check(shim().vmsig_pread(fd, bytes, offset, length, filePosition), "pread");
}

/**
 * Writes to a place in a file, without moving its position.
 *
 * @returns bytes written
 * @throws {OsError} EPERM when the file is sealed against it
 */
export function pwriteFrom(
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
  offset: number,
  length: number,
  filePosition: number,
): number {
  checkRange(bytes, offset, length);
  return check(shim().vmsig_pwrite(fd, bytes, offset, length, filePosition), "pwrite");
}

function checkRange(bytes: Uint8Array, offset: number, length: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) {
    throw new RangeError("what is read or written lies in its buffer");
  }
}
