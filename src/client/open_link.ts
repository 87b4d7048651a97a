/**
 * The way to the bus, before it is greeted: a connection to the daemon's socket, or what the program made
 * instead.
 * @module
 */
import { type ClientLink, Link, type LinkHost } from "./link.ts";
import { openSocket } from "./open_socket.ts";

/** What says which way. */
export interface LinkOptions<Host extends LinkHost> {
  /** The daemon's socket. */
  readonly socketPath: string;
  /** Makes another way. */
  readonly makeLink?: (host: Host) => ClientLink;
}

/**
 * Opens the way.
 *
 * @param timeoutMs how long a daemon that has too many waiting is tried again
 * @throws {Fault} `unreachable`
 */
export async function openLink<Host extends LinkHost>(
  host: Host,
  { socketPath, makeLink }: LinkOptions<Host>,
  timeoutMs: number,
): Promise<ClientLink> {
  return makeLink?.(host) ?? new Link(await openSocket(socketPath, timeoutMs), socketPath, host);
}
