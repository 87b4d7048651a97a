/**
 * The library's transport, with a permanent listener for a socket's errors. When the library gives up a
 * socket, it removes its listeners; a reset that is read after that would be an error event without a
 * listener, which ends the process: a server that rejects a client could end that client's process.
 * @module
 */
import type { Socket } from "node:net";
import { NatsConnectionImpl, type NodeConnectionOptions, setTransportFactory } from "@nats-io/transport-node";
import { nodeResolveHost, NodeTransport } from "@nats-io/transport-node/lib/node_transport.js";

/** The transport. */
class GuardedTransport extends NodeTransport {
  override async connect(
    to: Parameters<NodeTransport["connect"]>[0],
    options: NodeConnectionOptions,
  ): Promise<void> {
    // A server addressed by IP has no host name for its certificate to match, so the address is used.
    const { tls } = options;
    if (typeof tls !== "object" || tls === null) return await super.connect(to, options);
    const named: object = { ...tls, host: to.hostname };
    await super.connect(to, { ...options, tls: named });
  }

  override async dial(to: Parameters<NodeTransport["dial"]>[0]): Promise<Socket> {
    return guarded(await super.dial(to));
  }

  override async startTLS(): ReturnType<NodeTransport["startTLS"]> {
    return guarded(await super.startTLS());
  }

  override async tlsFirst(
    to: Parameters<NodeTransport["tlsFirst"]>[0],
  ): ReturnType<NodeTransport["tlsFirst"]> {
    return guarded(await super.tlsFirst(to));
  }
}

/** Keeps a listener for errors on a socket. */
function guarded<S extends Socket>(socket: S): S {
  const removeAll = socket.removeAllListeners.bind(socket);
  socket.removeAllListeners = (event?: string | symbol) => {
    if (event === undefined) removeAll();
    else removeAll(event);
    socket.on("error", ignore);
    return socket;
  };
  socket.on("error", ignore);
  return socket;
}

function ignore(): void {
  // The library still has a listener of its own while it uses the socket.
}

/**
 * Connects, like the library's own `connect`.
 *
 * @internal
 */
export async function connectGuarded(options: NodeConnectionOptions): Promise<NatsConnectionImpl> {
  setTransportFactory({ factory: () => new GuardedTransport(), dnsResolveFn: nodeResolveHost });
  return await NatsConnectionImpl.connect(options) as NatsConnectionImpl;
}
