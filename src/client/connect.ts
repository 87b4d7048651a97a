/**
 * Joining the bus: what a scripted control calls first.
 * @module
 */
import { isOsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { connectUnix, SOCKET } from "../../ffi/unix_socket.ts";
import { defaultSocketPath } from "../base/default_socket.ts";
import { Fault } from "../base/fault.ts";
import { Client } from "./client.ts";
import type { SubscribeOptions } from "./handshake.ts";
import { DEFAULT_TIMEOUT_MS } from "./session.ts";

const RETRY_MS = 20;

/** How to join. */
export interface ConnectOptions {
  /** The daemon's socket; unless told that of VMSIG_SOCKET, or else the default of this user. */
  readonly socket?: string;
  /** What the daemon's log and audit call this control. */
  readonly name: string;
  /** Which broadcast events are wanted at all; everything that the grant allows unless told. */
  readonly sub?: SubscribeOptions;
  /** How long joining may take, ms. */
  readonly timeoutMs?: number;
}

/**
 * Joins the bus.
 *
 * @example
 * ```ts
 * await using client = await connect({ name: "watch", sub: { sources: ["VMHOST"] } });
 * for await (const event of client.events()) console.log(event.kindName, event.endpoint);
 * ```
 *
 * @throws {Fault} `unreachable` when no daemon is there (or this user may not open its socket: the text says
 *   which), `not-admitted` when it does not let this user in, `timed-out`
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const socketPath = options.socket ?? defaultSocketPathHere();
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const socket = await openSocket(socketPath, timeoutMs);
  return await Client.join(socket, socketPath, options.name, options.sub ?? {}, timeoutMs);
}

/** The socket that VMSIG_SOCKET names; without it the default one of the user who runs this program. */
export function defaultSocketPathHere(): string {
  const named = Deno.env.get("VMSIG_SOCKET") ?? "";
  if (named !== "") return named;
  const uid = Deno.uid() ?? -1;
  return defaultSocketPath(uid, uid === 0 ? undefined : Deno.env.get("XDG_RUNTIME_DIR"));
}

async function openSocket(path: string, timeoutMs: number): Promise<OwnedFd> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return connectUnix(path, SOCKET.SEQPACKET);
    } catch (error) {
      // EAGAIN: the daemon has as many waiting as it lets wait; it takes them one by one.
      if (!isOsError(error, "EAGAIN") || performance.now() > deadline) throw unreachable(path, error);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function unreachable(path: string, error: unknown): unknown {
  const fault = (why: string) =>
    new Fault("unreachable", `Cannot reach the daemon at ${path}: ${why}`, { cause: error });
  if (isOsError(error, "ENOENT")) {
    return fault("there is no such socket; start it (vmsig serve) or give --socket PATH");
  }
  if (isOsError(error, "ECONNREFUSED")) return fault("nobody listens there any more; start it (vmsig serve)");
  if (isOsError(error, "EACCES") || isOsError(error, "EPERM")) {
    return fault("no permission to open the socket; ask for membership in its group, or run as its user");
  }
  if (isOsError(error, "EPROTOTYPE")) {
    return fault("it is a socket of another kind; give the control socket's path");
  }
  if (isOsError(error, "EAGAIN")) return fault("it accepts nobody; is it wedged?");
  if (isOsError(error, "ENOTDIR")) return fault("a part of the path is no directory; give --socket PATH");
  return error;
}
