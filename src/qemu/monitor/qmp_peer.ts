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
 * @param socket the connection, borrowed
 * @param pid its pid, according to the transport
 */
export function openPidfd(socket: number, pid: number): OwnedFd | null {
  if (pid === 0) return null;
  try {
    // A host integration's transport is a socket pair of our own: the kernel would report this process.
    const own = peerCredentials(socket).pid === pid ? peerPidfd(socket) : undefined;
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
 * @param socket the connection, borrowed
 * @param pid the listener's pid, from the kernel
 */
export function isProcess(socket: number, pid: number, expected: ProcessIdentity): boolean {
  if (pid !== expected.pid || startOf(pid) !== expected.started) return false;
  try {
    // If the listener has ended and another process kept its socket, the pid may have been reused.
    using pidfd = peerPidfd(socket);
    return pidfd === undefined || signalPidfd(pidfd.fd, 0);
  } catch (error) {
    if (error instanceof OsError) return isOsError(error, "EPERM");
    throw error;
  }
}
