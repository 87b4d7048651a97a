/**
 * The way to a monitor that vmsig reaches by itself: by a path or an address, without a host integration.
 * @module
 */
import { readQmpAddress } from "../qmp_address.ts";
import type { QmpTransport } from "./qmp_transport.ts";
import { TcpTransport } from "./tcp_transport.ts";
import { UnixTransport } from "./unix_transport.ts";

/**
 * The way to a place.
 *
 * @param text as {@linkcode readQmpAddress} reads it. Whatever is not valid there is taken for a path: the
 *   host probe names paths that no config would be let through with, and connecting tells what is wrong
 */
export function transportTo(text: string): QmpTransport {
  const place = readQmpAddress(text, []);
  return place.kind === "tcp"
    ? new TcpTransport(place.text, place.hosts, place.port)
    : new UnixTransport(text);
}
