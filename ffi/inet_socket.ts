/**
 * TCP connections to literal addresses, begun without waiting. Names are not looked up: that would wait.
 * @module
 */
import { Fault } from "../src/base/fault.ts";
import { printable } from "../src/base/printable.ts";
import { cText } from "./c_text.ts";
import { check, ERRNO, OsError } from "./os_error.ts";
import { OwnedFd } from "./owned_fd.ts";
import { shim } from "./shim.ts";

/** Highest port. */
const MAX_PORT = 65_535;

/**
 * Begins a connection. The socket is nonblocking and close-on-exec, and sends at once what it is given. It is
 * writable as soon as {@linkcode connectionOutcome} can tell what became of it.
 *
 * @param address IPv4 or IPv6, as digits
 * @param port 1 to 65535
 * @throws {Fault} `bad-argument` when it is not an address
 * @throws {OsError} ENETUNREACH and the like
 */
export function connectInet(address: string, port: number): OwnedFd {
  const shown = printable(address, 64);
  if (!(Number.isInteger(port) && port >= 1 && port <= MAX_PORT)) {
    throw new Fault(
      "bad-argument",
      `Cannot connect to ${shown}: ${port} is not a port; use 1 to ${MAX_PORT}`,
    );
  }
  const fd = shim().vmsig_connect_inet(cText(address), port);
  if (fd === -ERRNO.EINVAL) {
    throw new Fault(
      "bad-argument",
      `Cannot connect to ${shown}: it is not an IPv4 or IPv6 address; names are not looked up`,
    );
  }
  return new OwnedFd(check(fd, `connect to ${shown} port ${port}`));
}

/**
 * What became of a connection that was begun, once its socket is writable.
 *
 * @param fd the socket, borrowed
 * @param what whom it was for, for the error
 * @throws {OsError} ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, …
 */
export function connectionOutcome(fd: number, what: string): void {
  const error = shim().vmsig_socket_error(fd);
  if (error < 0) throw new OsError(`connect to ${what}`, error);
}
