/**
 * The transport to a monitor that vmsig reaches by itself, by a path or an address, without a host
 * integration.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { readQmpAddress } from "../qmp_address.ts";
import { type ListenParts, ListenTransport } from "./listen_transport.ts";
import type { QmpTransport } from "./qmp_transport.ts";
import { TcpTransport } from "./tcp_transport.ts";
import { UnixTransport } from "./unix_transport.ts";

/**
 * The transport to an address.
 *
 * @param text as parsed by {@linkcode readQmpAddress}. An invalid address is taken as a path: the host probe
 *   reports paths that a config could not contain, and connecting shows what is wrong
 * @param listening what it takes to listen for a QEMU; may be omitted if the address says no such thing
 */
export function transportTo(text: string, listening?: ListenParts): QmpTransport {
  const place = readQmpAddress(text, []);
  switch (place.kind) {
    case "tcp":
      return new TcpTransport(place.text, place.hosts, place.port);
    case "listen":
      assert(listening !== undefined, "who takes such an address can listen");
      return new ListenTransport(place.path, listening);
    default:
      return new UnixTransport(text);
  }
}
