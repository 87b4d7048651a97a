/**
 * Joining the bus: what a scripted control calls first.
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

/** How to join. */
export interface ConnectOptions {
  /** The daemon's socket; unless told that of VMSIG_SOCKET, or else the default of this user. */
  readonly socket?: string;
  /**
   * Many hosts instead of one daemon: the NATS server that they joined (src/nats/README.md). Endpoints are
   * called HOST/NAME then; `socket` is not used.
   */
  readonly nats?: NatsOptions;
  /** What the daemon's log and audit call this control. */
  readonly name: string;
  /**
   * For whom this process speaks: "token:alice", a name of the config's `[[admission]]` rules. Its user's
   * rule has to allow that (`speaks_for`), and what may be done is what the name's rule says. Its user itself
   * unless told.
   */
  readonly as?: string;
  /** Which broadcast events are wanted at all; everything that the grant allows unless told. */
  readonly sub?: SubscribeOptions;
  /** How long joining may take, ms; {@linkcode JOIN_TIMEOUT_MS} unless told. */
  readonly timeoutMs?: number;
  /** Gives up joining; nothing once it has joined. */
  readonly signal?: AbortSignal;
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
  // The library for it is loaded by who needs it.
  const { RemoteLink } = await natsModule("link")();
  const makeLink = (session: RemoteHost) => new RemoteLink(nats, session);
  return await Client.join({ socketPath: nats.url, name, sub, timeoutMs, reconnect: pace, makeLink, signal });
}

/** The socket that VMSIG_SOCKET names; without it the default one of the user who runs this program. */
export function defaultSocketPathHere(): string {
  const named = Deno.env.get("VMSIG_SOCKET") ?? "";
  if (named !== "") return named;
  const uid = Deno.uid() ?? -1;
  return defaultSocketPath(uid, uid === 0 ? undefined : Deno.env.get("XDG_RUNTIME_DIR"));
}
