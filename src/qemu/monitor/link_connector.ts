/**
 * From no connection to one with the right process at its other end: over the link's transport, with as many
 * steps as that takes. It keeps no time: whoever waits too long cancels it.
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

/** Told how it ends, once a start; maybe before {@linkcode LinkConnector.start} returns. */
export interface LinkConnectorListener {
  /** There is a connection, which the listener opens during the call. */
  onConnected(way: QmpWay, peer: QmpPeer): void;
  /** Somebody else listens there. */
  onImpostor(loss: QmpLoss): void;
  /** There is none. */
  onFailed(loss: QmpLoss): void;
  /** Something threw. */
  onFault(error: unknown): void;
}

/** The connector of one link. */
export class LinkConnector implements ReadyHandler {
  readonly #transport: QmpTransport;
  readonly #loop: MonitorLoop;
  readonly #expected: ProcessIdentity | undefined;
  readonly #listener: LinkConnectorListener;
  /** On its way, and watched; null when nothing is. */
  #pending: OwnedFd | null = null;

  /**
   * Makes one that rests.
   *
   * @param expected the process that must be at the other end; anybody when undefined
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

  /** Begins. */
  start(): void {
    assert(this.#pending === null, "one connection at a time is on its way");
    this.#take(this.#transport.connect());
  }

  /** Gives up what is on its way; the listener is told nothing more. */
  cancel(): void {
    this.#unwatch()?.close();
  }

  /** Called by the loop: what was on its way is decided. */
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
