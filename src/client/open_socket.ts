/**
 * Connects to the daemon's socket, and explains failures.
 * @module
 */
import { isOsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { connectUnix, SOCKET } from "../../ffi/unix_socket.ts";
import { Fault } from "../base/fault.ts";

const RETRY_MS = 20;

/**
 * Connects to the daemon.
 *
 * @param path the control socket
 * @param timeoutMs how long to retry while too many connections are pending at the daemon, ms
 * @throws {Fault} `unreachable`, with the reason
 */
export async function openSocket(path: string, timeoutMs: number): Promise<OwnedFd> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return connectUnix(path, SOCKET.SEQPACKET);
    } catch (error) {
      // EAGAIN: the listen queue is full; the daemon takes connections from it one by one.
      if (!isOsError(error, "EAGAIN") || performance.now() > deadline) throw unreachable(path, error);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function unreachable(path: string, error: unknown): unknown {
  const fault = (why: string) =>
    new Fault("unreachable", `Cannot reach the daemon at ${path}: ${why}`, { cause: error });
  if (isOsError(error, "ENOENT")) {
    const folder = path.slice(0, path.lastIndexOf("/")) || "/";
    const nor = path.includes("/") && isAbsent(folder) ? `, nor the folder ${folder}` : "";
    return fault(`there is no such socket${nor}; start it (vmsig serve) or give --socket PATH`);
  }
  if (isOsError(error, "ECONNREFUSED") && isOther(path)) {
    // Without a cause: no daemon can ever listen there, so nobody should wait for one.
    const why = "it is not a socket; give the control socket's path (--socket PATH)";
    return new Fault("unreachable", `Cannot reach the daemon at ${path}: ${why}`);
  }
  if (isOsError(error, "ECONNREFUSED")) {
    return fault("no daemon listens there any more; start it (vmsig serve)");
  }
  if (isOsError(error, "EACCES") || isOsError(error, "EPERM")) {
    return fault("no permission to open the socket; ask for membership in its group, or run as its user");
  }
  if (isOsError(error, "EPROTOTYPE")) {
    return fault("it is a socket of another kind; give the control socket's path");
  }
  if (isOsError(error, "EAGAIN")) return fault("it does not accept connections; does it hang?");
  if (isOsError(error, "ENOTDIR")) return fault("a part of the path is not a directory; give --socket PATH");
  return error;
}

/** Whether nothing has this path; false where a script may not look. */
function isAbsent(path: string): boolean {
  try {
    if (Deno.permissions.querySync({ name: "read", path }).state === "granted") Deno.statSync(path);
    return false;
  } catch (error) {
    return error instanceof Deno.errors.NotFound;
  }
}

/** Whether something at this path is not a socket; false if a script may not check. */
function isOther(path: string): boolean {
  try {
    if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") return false;
    return Deno.statSync(path).isSocket !== true;
  } catch {
    return false;
  }
}
