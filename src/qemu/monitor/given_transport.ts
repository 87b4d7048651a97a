/**
 * A monitor on a connection that somebody else has made: a descriptor that was inherited or received (one end
 * of a socket pair whose other end QEMU was started with). It can be used once: when it ends there is no
 * other.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { hasPeerCredentials, peerCredentials } from "../../../ffi/unix_socket.ts";
import { GIVEN_ENDED } from "./qmp_loss.ts";
import { type QmpAttempt, type QmpPeer, type QmpTransport, UNKNOWN_PEER } from "./qmp_transport.ts";

/** One connection, owned until it is used. */
export class GivenTransport implements QmpTransport, Disposable {
  readonly name: string;
  readonly passesDescriptors: boolean;
  readonly canReconnect = false;
  #socket: OwnedFd | null;

  /**
   * Takes over a connected, nonblocking stream socket.
   *
   * @param name its name in messages: "fd:7"
   */
  constructor(socket: OwnedFd, name = `fd:${socket.fd}`) {
    this.name = name;
    this.#socket = socket;
    this.passesDescriptors = hasPeerCredentials(socket.fd);
  }

  connect(): QmpAttempt {
    const socket = this.#socket;
    this.#socket = null;
    return socket === null ? { outcome: "failed", loss: GIVEN_ENDED } : { outcome: "connected", socket };
  }

  finish(socket: OwnedFd): QmpAttempt {
    return { outcome: "connected", socket };
  }

  /** The peer of a socket pair is the process that made the pair. */
  peerOf(fd: number): QmpPeer {
    return this.passesDescriptors ? peerCredentials(fd) : UNKNOWN_PEER;
  }

  /** Closes the connection if it was not used. */
  [Symbol.dispose](): void {
    this.#socket?.close();
    this.#socket = null;
  }
}
