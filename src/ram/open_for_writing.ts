/**
 * The mode of guest RAM that is given out, and the way to write it all the same.
 *
 * A memfd's inode is 0777: whoever has a read-only descriptor of it could open it anew for writing through
 * /proc/self/fd. So the mode of one that QEMU has sealed is taken down to 0400; QEMU's own descriptor and
 * mappings are not touched by that. The mode of every other file is its owner's wish, and is never changed.
 * @module
 */
import { fchmod, OPEN, reopen, statFd } from "../../ffi/memfd.ts";
import { isOsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";

/** Read by the owner: enough for whoever opens it again as QEMU's user or as root. */
export const OWNER_READS = 0o400;
const OWNER_WRITES = 0o600;

/**
 * Opens guest RAM for reading and writing. Root writes whatever the mode is. The owner of a memfd gives
 * itself the right for the moment of opening; others never have it.
 *
 * @param fd the file, open for reading; borrowed
 * @param sealed whether it is a memfd that QEMU has sealed
 * @throws {OsError} when this process may not
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
