/**
 * Whether another client uses QEMU's D-Bus display. QEMU has one peer: adding another ends its connection,
 * and QMP does not report whether there is one. But QEMU was given its socket, one of a pair, whereas nearly
 * all of QEMU's other connections have a name at one end: a monitor, a serial port, a back-end. So a socket
 * without a name at either end, whose other end is neither ours nor QEMU's own, counts as another peer's: a
 * false alarm is better than disconnecting one.
 * @module
 */
import { ERRNO, OsError } from "../../../ffi/os_error.ts";
import { type UnixSocketFacts, unixSocketFacts } from "../../../ffi/unix_diag.ts";
import { SOCKET } from "../../../ffi/unix_socket.ts";
import { Fault } from "../../base/fault.ts";
import { HostProcess } from "../../ram/host_process.ts";

/** Standard input, output and error belong to whoever started QEMU. */
const STANDARD = 2;

/**
 * Looks for one.
 *
 * @param pid QEMU's process
 * @param own this process's
 * @returns the number of QEMU's descriptor; undefined if nobody uses the display
 * @throws {Fault} if that cannot be determined
 */
export function otherDBusPeer(pid: number, own: number): number | undefined {
  const qemus = socketsOf(pid);
  const known = new Set([...socketsOf(own).values(), ...qemus.values()]);
  try {
    for (const [fd, number] of qemus) {
      if (fd <= STANDARD) continue;
      const socket = unixSocketFacts(number);
      if (socket === undefined || !isOfPair(socket) || known.has(socket.peer)) continue;
      const peer = unixSocketFacts(socket.peer);
      if (peer !== undefined && isOfPair(peer)) return fd;
    }
    return undefined;
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    const remedy = error.errno === ERRNO.EAFNOSUPPORT
      ? "; vmsigd.service must allow AF_NETLINK (RestrictAddressFamilies)"
      : "";
    throw new Fault(
      "refused",
      `Cannot tell whether another client has QEMU's D-Bus display: ${error.message}${remedy}`,
      { cause: error },
    );
  }
}

function isOfPair({ type, isConnected, isNamed, peer }: UnixSocketFacts): boolean {
  return type === SOCKET.STREAM && isConnected && !isNamed && peer !== 0;
}

/** A process's sockets: their numbers by descriptor. */
function socketsOf(pid: number): Map<number, number> {
  using process = HostProcess.open(pid);
  const out = new Map<number, number>();
  for (const { fd, target } of process.descriptors()) {
    const number = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (number !== undefined) out.set(fd, Number(number));
  }
  return out;
}
