/**
 * A monitor on a TCP port (`-qmp tcp:127.0.0.1:4444,server=on,wait=off`). The peer is unknown, and no
 * descriptors can be sent. QMP over TCP is plain text without a password: a port that others can reach gives
 * them the VM, so it belongs on loopback.
 * @module
 */
import { OsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { connectInet, connectionOutcome } from "../../../ffi/inet_socket.ts";
import { assert } from "../../base/assert.ts";
import { tcpLoss } from "./qmp_loss.ts";
import { type QmpAttempt, type QmpPeer, type QmpTransport, UNKNOWN_PEER } from "./qmp_transport.ts";

/** Connects to one port, at the first of several addresses that answers. */
export class TcpTransport implements QmpTransport {
  readonly name: string;
  readonly passesDescriptors = false;
  readonly canReconnect = true;
  readonly #hosts: readonly string[];
  readonly #port: number;
  /** The index of the next address. */
  #next = 0;

  /**
   * Starts without a connection.
   *
   * @param name the address as written: "tcp:localhost:4444"
   * @param hosts IP addresses, at least one
   */
  constructor(name: string, hosts: readonly string[], port: number) {
    assert(hosts.length > 0, "a TCP monitor has an address");
    this.name = name;
    this.#hosts = hosts;
    this.#port = port;
  }

  connect(): QmpAttempt {
    this.#next = 0;
    return this.#tryNext();
  }

  finish(socket: OwnedFd): QmpAttempt {
    try {
      connectionOutcome(socket.fd, this.name);
      return { outcome: "connected", socket };
    } catch (error) {
      socket.close();
      return this.#afterFailure(error);
    }
  }

  peerOf(): QmpPeer {
    return UNKNOWN_PEER;
  }

  #tryNext(): QmpAttempt {
    const host = this.#hosts[this.#next++];
    assert(host !== undefined, "there is an address left");
    try {
      return { outcome: "connecting", socket: connectInet(host, this.#port) };
    } catch (error) {
      return this.#afterFailure(error);
    }
  }

  #afterFailure(error: unknown): QmpAttempt {
    if (!(error instanceof OsError)) throw error;
    return this.#next < this.#hosts.length ? this.#tryNext() : { outcome: "failed", loss: tcpLoss(error) };
  }
}
