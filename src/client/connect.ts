/**
 * Joins the bus; the first call of a scripted control.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import { defaultSocketPath } from "../base/default_socket.ts";
import type { NatsOptions } from "../nats/wire/nats_link.ts";
import { Client } from "./client.ts";
import type { SubscribeOptions } from "./handshake.ts";
import { checkPace, type ReconnectOptions } from "./reconnector.ts";
import { natsModule } from "./nats_loader.ts";
import { JOIN_TIMEOUT_MS } from "./command_options.ts";
import type { RemoteHost } from "./session_state.ts";

/** Options for joining. */
export interface ConnectOptions {
  /** The daemon's socket; by default that of VMSIG_SOCKET, or else the default of this user. */
  readonly socket?: string;
  /**
   * Many hosts instead of one daemon: the NATS server that they have joined (src/nats/README.md). Endpoints
   * are then called HOST/NAME, and `socket` is not used.
   */
  readonly nats?: NatsOptions;
  /** The name of this control in the daemon's log and audit trail. */
  readonly name: string;
  /**
   * The principal for whom this process speaks: "token:alice", a name in the config's `[[admission]]` rules.
   * The rule of the process's user must allow it (`speaks_for`), and only the rights of the name's rule
   * apply. By default the user itself.
   */
  readonly as?: string;
  /** Which broadcast events are wanted; by default everything that the grant allows. */
  readonly sub?: SubscribeOptions;
  /** How long joining may take, ms; {@linkcode JOIN_TIMEOUT_MS} unless told. */
  readonly timeoutMs?: number;
  /** Gives up joining; nothing once it has joined. */
  readonly signal?: AbortSignal;
  /**
   * Whether, and with which pauses, to reconnect to a daemon that was lost, with the same subscription; false
   * by default. Meanwhile commands fail (`unreachable`), and pending ones are told that they may or may not
   * have been carried out; all leases are lost (`owner-gone`); the streams stay open, and receive a
   * RECONNECTED before the events of the next daemon. If a daemon no longer admits this control, the client
   * ends. The first connection is not retried.
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
 *   which), `not-admitted` when it does not let this user in, `timed-out`, `interrupted`; `not-supported`
 *   when the daemon does not know `as`, and over NATS
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const timeoutMs = options.timeoutMs ?? JOIN_TIMEOUT_MS;
  const { name, as = "", sub = {}, reconnect = false, signal } = options;
  const pace = reconnect === true ? {} : reconnect === false ? undefined : reconnect;
  if (pace !== undefined) checkPace(pace);
  if (options.nats === undefined) {
    const socketPath = options.socket ?? defaultSocketPathHere();
    return await Client.join({ socketPath, name, as, sub, timeoutMs, reconnect: pace, signal });
  }
  const { nats } = options;
  if (as !== "") {
    throw new Fault(
      "not-supported",
      `Cannot act for ${printable(as)} over NATS: there the server's credentials say who asks`,
    );
  }
  // The NATS library is loaded only when it is used.
  const { RemoteLink } = await natsModule("link")();
  const makeLink = (session: RemoteHost) => new RemoteLink(nats, session);
  return await Client.join({ socketPath: nats.url, name, sub, timeoutMs, reconnect: pace, makeLink, signal });
}

/** The socket named by VMSIG_SOCKET; without it, the default of the user who runs this program. */
export function defaultSocketPathHere(): string {
  const named = Deno.env.get("VMSIG_SOCKET") ?? "";
  if (named !== "") return named;
  const uid = Deno.uid() ?? -1;
  return defaultSocketPath(uid, uid === 0 ? undefined : Deno.env.get("XDG_RUNTIME_DIR"));
}
