/**
 * The transport to a monitor that vmsig reaches by itself, by a path or an address, without a host
 * integration.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { readQmpAddress } from "../qmp_address.ts";
import { GivenTransport } from "./given_transport.ts";
import type { InheritedSockets } from "./inherited_sockets.ts";
import { ListenGiven, ListenPath } from "./listen_place.ts";
import { type ListenParts, ListenTransport } from "./listen_transport.ts";
import { NoTransport } from "./no_transport.ts";
import { givenLoss } from "./qmp_loss.ts";
import type { QmpTransport } from "./qmp_transport.ts";
import { TcpTransport } from "./tcp_transport.ts";
import { UnixTransport } from "./unix_transport.ts";

/** What the transports need that are not connected to by a path or an address. */
export interface TransportParts extends ListenParts {
  /** The sockets that this process was started with. */
  readonly inherited: InheritedSockets;
}

/**
 * The transport to an address.
 *
 * @param text as parsed by {@linkcode readQmpAddress}. An invalid address is taken as a path: the host probe
 *   reports paths that a config could not contain, and connecting shows what is wrong
 * @param parts may be omitted for a path or an address to connect to
 */
export function transportTo(text: string, parts?: TransportParts): QmpTransport {
  const place = readQmpAddress(text, []);
  if (place.kind === "tcp") return new TcpTransport(place.text, place.hosts, place.port);
  if (place.kind !== "listen" && place.kind !== "given") return new UnixTransport(text);
  assert(parts !== undefined, "who takes such an address has what it needs");
  return place.kind === "listen"
    ? new ListenTransport(new ListenPath(place.path), parts)
    : givenTransport(text, place.descriptor, parts);
}

function givenTransport(name: string, descriptor: number | string, parts: TransportParts): QmpTransport {
  try {
    const { socket, listens } = parts.inherited.take(descriptor);
    return listens
      ? new ListenTransport(new ListenGiven(name, socket), parts)
      : new GivenTransport(socket, name);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return new NoTransport(name, givenLoss(error));
  }
}
