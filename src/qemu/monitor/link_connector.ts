/**
 * Makes a connection with the right process at its other end, over the link's transport, in as many steps as
 * that takes. It has no time limits: the caller cancels an attempt that takes too long.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { OUT } from "../../../ffi/poller.ts";
import { assert } from "../../base/assert.ts";
import type { ProcessIdentity } from "../process_identity.ts";
import type { MonitorLoop, ReadyHandler } from "./monitor_loop.ts";
import { impostorLoss, type QmpLoss } from "./qmp_loss.ts";
import { QmpConnection } from "./qmp_connection.ts";
import { isProcess } from "./qmp_peer.ts";
import type { QmpWay } from "./qmp_session.ts";
import type { QmpAttempt, QmpPeer, QmpTransport } from "./qmp_transport.ts";

/** Called with the result, once per start; possibly before {@linkcode LinkConnector.start} returns. */
export interface LinkConnectorListener {
  /** There is a connection, which the listener opens during the call. */
  onConnected(way: QmpWay, peer: QmpPeer): void;
  /** Somebody else listens there. */
  onImpostor(loss: QmpLoss): void;
  /** Nobody has connected yet; {@linkcode LinkConnector.start} is called again when somebody has. */
  onAwaited(): void;
  /** There is no connection. */
  onFailed(loss: QmpLoss): void;
  /** A callback threw. */
  onFault(error: unknown): void;
}

/** The connector of one link. */
export class LinkConnector implements ReadyHandler {
  readonly #transport: QmpTransport;
  readonly #loop: MonitorLoop;
  readonly #expected: ProcessIdentity | undefined;
  readonly #listener: LinkConnectorListener;
  /** The watched attempt; null when there is none. */
  #pending: OwnedFd | null = null;

  /**
   * Starts idle.
   *
   * @param expected the process that must be at the other end; undefined: any
   */
  constructor(
    transport: QmpTransport,
    loop: MonitorLoop,
    expected: ProcessIdentity | undefined,
    listener: LinkConnectorListener,
  ) {
    this.#transport = transport;
    this.#loop = loop;
    this.#expected = expected;
    this.#listener = listener;
  }

  /** Starts an attempt. */
  start(): void {
    assert(this.#pending === null, "one connection at a time is on its way");
    this.#take(this.#transport.connect());
  }

  /** Cancels an attempt without calling the listener. */
  cancel(): void {
    this.#unwatch()?.close();
  }

  /** Called by the loop: the attempt is decided. */
  onReady(): void {
    const socket = this.#unwatch();
    if (socket !== null) this.#take(this.#transport.finish(socket));
  }

  /** Called by the loop. */
  onFault(error: unknown): void {
    this.#listener.onFault(error);
  }

  #take(attempt: QmpAttempt): void {
    switch (attempt.outcome) {
      case "failed":
        return this.#listener.onFailed(attempt.loss);
      case "occupied":
        return this.#listener.onImpostor(attempt.loss);
      case "awaited":
        return this.#listener.onAwaited();
      case "connecting":
        this.#pending = attempt.socket;
        return this.#loop.watch(attempt.socket.fd, OUT, this);
      case "connected":
        return this.#takeSocket(attempt.socket);
      case "carried":
        return this.#check({ open: attempt.open, fd: undefined }, attempt.peer, () => {});
    }
  }

  #takeSocket(socket: OwnedFd): void {
    const open: QmpWay["open"] = (listener) => new QmpConnection(socket, this.#loop, listener);
    const { fd } = socket;
    this.#check({ open, fd }, this.#transport.peerOf(fd), () => socket.close());
  }

  #check(way: QmpWay, peer: QmpPeer, refuse: () => void): void {
    const expected = this.#expected;
    if (expected === undefined || isProcess(way.fd, peer.pid, expected)) {
      return this.#listener.onConnected(way, peer);
    }
    refuse();
    this.#listener.onImpostor(impostorLoss(peer.pid, expected.pid));
  }

  #unwatch(): OwnedFd | null {
    const socket = this.#pending;
    this.#pending = null;
    if (socket !== null) this.#loop.unwatch(socket.fd);
    return socket;
  }
}
