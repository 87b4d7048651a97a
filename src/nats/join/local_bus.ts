/**
 * `vmsig join`'s connections to this host's daemon: for itself, and for each remote user as a control of that
 * user.
 * @module
 */
import { Client } from "../../client/client.ts";
import { JOIN_TIMEOUT_MS } from "../../client/command_options.ts";
import type { SubscribeOptions } from "../../client/handshake.ts";
import { Link, type LinkHost } from "../../client/link.ts";
import { openSocket } from "../../client/open_socket.ts";
import type { ReconnectOptions } from "../../client/reconnector.ts";

/** The daemon. */
export class LocalBus {
  /** Its control socket. */
  readonly socketPath: string;

  /** Connects nothing yet. */
  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /** A client for ourselves. @throws {Fault} */
  async client(name: string, sub: SubscribeOptions, reconnect?: ReconnectOptions): Promise<Client> {
    return await Client.join({
      socketPath: this.socketPath,
      name,
      sub,
      timeoutMs: JOIN_TIMEOUT_MS,
      reconnect,
    });
  }

  /** A client for a remote user. @throws {Fault} */
  async clientFor(user: string, name: string, sub: SubscribeOptions): Promise<Client> {
    const { socketPath } = this;
    return await Client.join({ socketPath, name, as: principalOf(user), sub, timeoutMs: JOIN_TIMEOUT_MS });
  }

  /**
   * A bare connection that passes on frames unchanged.
   *
   * @param user the remote user; undefined for ourselves
   * @throws {Fault}
   */
  async link(user: string | undefined, name: string, sub: SubscribeOptions, host: LinkHost): Promise<Link> {
    const as = user === undefined ? "" : principalOf(user);
    const link = new Link(await openSocket(this.socketPath, JOIN_TIMEOUT_MS), this.socketPath, host);
    try {
      await link.greet({ name, as, sub, timeoutMs: JOIN_TIMEOUT_MS });
      return link;
    } catch (error) {
      await link.close();
      throw error;
    }
  }
}

/** The name of a server's user in the daemon's rules. */
function principalOf(user: string): string {
  return `nats:${user}`;
}
