/**
 * Restricts the mode of guest RAM that is passed to controls, and opens it for writing nevertheless.
 *
 * A memfd's inode has mode 0777: a process with a read-only descriptor could open it again for writing
 * through /proc/self/fd. So the mode of one that QEMU has sealed is reduced to 0400, which does not affect
 * QEMU's own descriptor and mappings. The mode of any other file was chosen by its owner, and is never
 * changed.
 * @module
 */
import { fchmod, OPEN, reopen, statFd } from "../../ffi/memfd.ts";
import { isOsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";

/** Readable by the owner: enough for a process that opens it again as QEMU's user or as root. */
export const OWNER_READS = 0o400;
const OWNER_WRITES = 0o600;

/**
 * Opens guest RAM for reading and writing. Root can write whatever the mode is. The owner of a memfd grants
 * itself permission while opening; others never have it.
 *
 * @param fd the file, open for reading; borrowed
 * @param sealed whether it is a memfd that QEMU has sealed
 * @throws {OsError} when this process may not open it
 */
export function openForWriting(fd: number, sealed: boolean): OwnedFd {
  try {
    return reopen(fd, OPEN.READ_WRITE);
  } catch (error) {
    if (!sealed || !isOsError(error, "EACCES") || (statFd(fd).mode & 0o777) !== OWNER_READS) throw error;
  }
  fchmod(fd, OWNER_WRITES);
  try {
    return reopen(fd, OPEN.READ_WRITE);
  } finally {
    fchmod(fd, OWNER_READS);
  }
}
