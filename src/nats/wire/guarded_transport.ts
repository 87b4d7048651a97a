/**
 * The library's transport, with somebody who always hears of a socket's errors. The library takes its
 * listeners off a socket when it gives it up; a reset that is read after that has no listener, and an error
 * event without one ends the process: a server that turned somebody away would end who was turned away.
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
    // A server that is named by its address has no name for its certificate to match: the address it is.
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

/** Has a socket always keep one listener for its errors. */
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
  // Who still uses the socket has a listener of its own.
}

/**
 * Connects, as the library's own `connect` does.
 *
 * @internal
 */
export async function connectGuarded(options: NodeConnectionOptions): Promise<NatsConnectionImpl> {
  setTransportFactory({ factory: () => new GuardedTransport(), dnsResolveFn: nodeResolveHost });
  return await NatsConnectionImpl.connect(options) as NatsConnectionImpl;
}
