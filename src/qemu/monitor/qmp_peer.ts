/**
 * The process at the other end of a monitor's connection. The kernel reports the pid of the process that
 * called listen (SO_PEERCRED), which may have been reused; from 6.5 on also a pidfd, which is unique.
 * @module
 */
import { isOsError, OsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { pidfdOpen, signalPidfd } from "../../../ffi/signals.ts";
import { peerCredentials, peerPidfd } from "../../../ffi/unix_socket.ts";
import { type ProcessIdentity, startOf } from "../process_identity.ts";

/**
 * The process at the other end of a connection; null if it is gone, or the kernel does not support this.
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
    // It is gone already, or the kernel has no pidfds: the end of the stream will show it.
    if (error instanceof OsError) return null;
    throw error;
  }
}

/**
 * Whether the listener is that process, and not another one that had or has its pid.
 *
 * @param socket the connection, borrowed; undefined when it has none
 * @param pid as the kernel, or the manager of the VM, says who listens
 */
export function isProcess(socket: number | undefined, pid: number, expected: ProcessIdentity): boolean {
  if (pid !== expected.pid || startOf(pid) !== expected.started) return false;
  if (socket === undefined) return true;
  try {
    // If the listener has ended and another process kept its socket, the pid may have been reused.
    using pidfd = peerPidfd(socket);
    return pidfd === undefined || signalPidfd(pidfd.fd, 0);
  } catch (error) {
    if (error instanceof OsError) return isOsError(error, "EPERM");
    throw error;
  }
}
