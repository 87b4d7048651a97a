/**
 * What the kernel knows of a unix socket by its number (the inode of `socket:[N]` in /proc/PID/fd), who is at
 * its other end among that (SOCK_DIAG). Of this process's own network namespace alone.
 * @module
 */
import { check, ERRNO } from "./os_error.ts";
import { shim } from "./shim.ts";

/** A unix socket. */
export interface UnixSocketFacts {
  /** One of `SOCKET`. */
  readonly type: number;
  /** Whether it is connected. */
  readonly isConnected: boolean;
  /** Whether it has a name: one of a pair, and who connects, has none; who listens and accepts has one. */
  readonly isNamed: boolean;
  /** The number of the socket at its other end; 0 for none, or none any more. */
  readonly peer: number;
}

const TYPE = 0;
const STATE = 1;
const IS_NAMED = 2;
const PEER = 3;
const FIELDS = 4;
const ESTABLISHED = 1;
const NUMBERS = 2 ** 32;

/**
 * Looks one up.
 *
 * @param number its inode
 * @returns undefined when no such unix socket is here: it is of another kind, has gone, or is of another
 *   network namespace
 * @throws {OsError} EAFNOSUPPORT or EPERM when this process may not ask
 */
export function unixSocketFacts(number: number): UnixSocketFacts | undefined {
  // The kernel counts them in 32 bits, and a number beyond is no unix socket's.
  if (!(number > 0 && number < NUMBERS)) return undefined;
  const out = new Float64Array(FIELDS);
  const result = shim().vmsig_unix_socket(number, out);
  if (result === -ERRNO.ENOENT) return undefined;
  check(result, "sock_diag");
  return {
    type: out[TYPE] as number,
    isConnected: out[STATE] === ESTABLISHED,
    isNamed: out[IS_NAMED] === 1,
    peer: out[PEER] as number,
  };
}
