/**
 * Connections over TCP, to addresses and not to names: asking a name server waits, and the loop does not.
 * Sockets are nonblocking, close-on-exec, and send at once what they are given (TCP_NODELAY).
 * @module
 */
import { assert } from "../src/base/assert.ts";
import { check, ERRNO, OsError } from "./os_error.ts";
import { OwnedFd } from "./owned_fd.ts";
import { shim } from "./shim.ts";

/** A connection, or one that is on its way. */
export interface TcpSocket {
  /** The socket. */
  readonly socket: OwnedFd;
  /** False: it is decided when the socket is writable, and {@linkcode tcpResult} says how. */
  readonly isConnected: boolean;
}

/**
 * Begins to connect.
 *
 * @param address 4 bytes of IPv4 or 16 of IPv6, in network order
 * @param port 1 to 65535
 * @throws {OsError} ECONNREFUSED, ENETUNREACH, EHOSTUNREACH when that is known at once; EAFNOSUPPORT when
 *   this process may not use such sockets; EMFILE
 */
export function connectTcp(address: Uint8Array<ArrayBuffer>, port: number): TcpSocket {
  assert(address.length === 4 || address.length === 16, "an IP address has 4 or 16 bytes");
  assert(port > 0 && port < 65_536, "a TCP port has 16 bits");
  const socket = new OwnedFd(check(shim().vmsig_tcp_socket(address.length), "socket"));
  const result = shim().vmsig_connect_ip(socket.fd, address, address.length, port);
  if (result === 0) return { socket, isConnected: true };
  if (result === -ERRNO.EINPROGRESS) return { socket, isConnected: false };
  socket.close();
  throw new OsError("connect", result);
}

/**
 * What has become of a connection that was on its way and is writable now.
 *
 * @param fd borrowed
 * @throws {OsError} why it failed: ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, …
 */
export function tcpResult(fd: number): void {
  check(shim().vmsig_socket_error(fd), "connect");
}
