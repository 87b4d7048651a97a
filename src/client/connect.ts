/**
 * Joining the bus: what a scripted control calls first.
 * @module
 */
import { defaultSocketPath } from "../base/default_socket.ts";
import { Client } from "./client.ts";
import type { SubscribeOptions } from "./handshake.ts";
import { openSocket } from "./open_socket.ts";
import { checkPace, type ReconnectOptions } from "./reconnector.ts";
import { DEFAULT_TIMEOUT_MS } from "./session.ts";

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
  /**
   * Whether, and at what pace, to come back to a daemon that went away, with the same subscription: false
   * unless told. Meanwhile commands fail (`unreachable`), and those under way are told that they may or may
   * not have been carried out; every lease is lost (`owner-gone`); the streams stay, and get a RECONNECTED
   * before what the next daemon tells. A daemon that lets this control in no more ends it. The first joining
   * is not tried again.
   */
  readonly reconnect?: boolean | ReconnectOptions;
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
  const { name, sub = {}, reconnect = false } = options;
  const pace = reconnect === true ? {} : reconnect === false ? undefined : reconnect;
  if (pace !== undefined) checkPace(pace);
  const socket = await openSocket(socketPath, timeoutMs);
  return await Client.join(socket, { socketPath, name, sub, timeoutMs, reconnect: pace });
}

/** The socket that VMSIG_SOCKET names; without it the default one of the user who runs this program. */
export function defaultSocketPathHere(): string {
  const named = Deno.env.get("VMSIG_SOCKET") ?? "";
  if (named !== "") return named;
  const uid = Deno.uid() ?? -1;
  return defaultSocketPath(uid, uid === 0 ? undefined : Deno.env.get("XDG_RUNTIME_DIR"));
}
