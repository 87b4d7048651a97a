/**
 * Opens the link to the bus before its HELLO: a connection to the daemon's socket, or another link that the
 * program provides.
 * @module
 */
import { type ClientLink, Link, type LinkHost } from "./link.ts";
import { openSocket } from "./open_socket.ts";

/** Which link to open. */
export interface LinkOptions<Host extends LinkHost> {
  /** The daemon's socket. */
  readonly socketPath: string;
  /** Makes another link. */
  readonly makeLink?: (host: Host) => ClientLink;
}

/**
 * Opens the link.
 *
 * @param timeoutMs how long to retry while too many connections are pending at the daemon, ms
 * @throws {Fault} `unreachable`
 */
export async function openLink<Host extends LinkHost>(
  host: Host,
  { socketPath, makeLink }: LinkOptions<Host>,
  timeoutMs: number,
): Promise<ClientLink> {
  return makeLink?.(host) ?? new Link(await openSocket(socketPath, timeoutMs), socketPath, host);
}
