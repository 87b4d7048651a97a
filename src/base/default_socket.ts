/**
 * Where the daemon's control socket is unless somebody says otherwise (src/event/PROTOCOL.md). One function
 * for the daemon that makes it and the client that looks for it.
 * @module
 */
import { Fault } from "./fault.ts";

/** The socket's place below a runtime directory. */
const SOCKET_NAME = "vmsig/control.sock";

/**
 * The default path of the control socket.
 *
 * @param uid who asks; 0 is root
 * @param runtimeDir `XDG_RUNTIME_DIR`, undefined or empty when it is not set
 * @throws {Fault} `usage` when there is no default for this user
 */
export function defaultSocketPath(uid: number, runtimeDir: string | undefined): string {
  if (uid === 0) return `/run/${SOCKET_NAME}`;
  if (runtimeDir === undefined || runtimeDir === "") {
    throw new Fault(
      "usage",
      "Cannot tell where the daemon's socket is: XDG_RUNTIME_DIR is not set and this is not root; give --socket PATH",
    );
  }
  return `${runtimeDir.replace(/\/+$/, "")}/${SOCKET_NAME}`;
}
