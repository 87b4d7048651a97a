/**
 * Who is at the other end of a monitor's connection. The kernel tells the process that called listen
 * (SO_PEERCRED), by a number that may be another's by now; from 6.5 on also by a descriptor, which never is.
 * @module
 */
import { isOsError, OsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { pidfdOpen, signalPidfd } from "../../../ffi/signals.ts";
import { peerCredentials, peerPidfd } from "../../../ffi/unix_socket.ts";
import { type ProcessIdentity, startOf } from "../process_identity.ts";

/**
 * The process at the other end of a connection; null when it is gone, or the kernel is too old to tell.
 *
 * @param socket the connection, borrowed; undefined when it has none
 * @param pid as the transport says whose it is
 */
export function openPidfd(socket: number | undefined, pid: number): OwnedFd | null {
  if (pid === 0) return null;
  try {
    // The transport may know better than the kernel, which tells who made the socket.
    const isTold = socket !== undefined && peerCredentials(socket).pid === pid;
    const own = isTold ? peerPidfd(socket) : undefined;
    return own ?? pidfdOpen(pid);
  } catch (error) {
    // Gone already, or a kernel without pidfds: the end of the stream will tell.
    if (error instanceof OsError) return null;
    throw error;
  }
}

/**
 * Whether whoever listens is that process, and not one that had its number before or has it since.
 *
 * @param socket the connection, borrowed; undefined when it has none
 * @param pid as the kernel, or the manager of the VM, says who listens
 */
export function isProcess(socket: number | undefined, pid: number, expected: ProcessIdentity): boolean {
  if (pid !== expected.pid || startOf(pid) !== expected.started) return false;
  if (socket === undefined) return true;
  try {
    // A listener that has ended, and whose socket somebody else keeps, is not who has its number now.
    using pidfd = peerPidfd(socket);
    return pidfd === undefined || signalPidfd(pidfd.fd, 0);
  } catch (error) {
    if (error instanceof OsError) return isOsError(error, "EPERM");
    throw error;
  }
}
