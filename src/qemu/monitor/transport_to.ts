/**
 * The transport to a monitor that vmsig reaches by itself, by a path or an address, without a host
 * integration.
 * @module
 */
import { readQmpAddress } from "../qmp_address.ts";
import type { QmpTransport } from "./qmp_transport.ts";
import { TcpTransport } from "./tcp_transport.ts";
import { UnixTransport } from "./unix_transport.ts";

/**
 * The transport to an address.
 *
 * @param text as parsed by {@linkcode readQmpAddress}. An invalid address is taken as a path: the host probe
 *   reports paths that a config could not contain, and connecting shows what is wrong
 */
export function transportTo(text: string): QmpTransport {
  const place = readQmpAddress(text, []);
  return place.kind === "tcp"
    ? new TcpTransport(place.text, place.hosts, place.port)
    : new UnixTransport(text);
}
