/**
 * A connected peer that has not said HELLO yet: one descriptor and a deadline. It decides nothing; it tells
 * its host that there is something to read, and that a peer stays silent for too long.
 * @module
 */
import { HUP, IN, RDHUP } from "../../../ffi/poller.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { assert } from "../../base/assert.ts";
import { MS } from "../../base/clock.ts";
import { HELLO_TIMEOUT_MS } from "../../base/limits.ts";
import type { FdHandler, LoopPort, TimerHandler } from "../../core/adapter_port.ts";
import type { FaultAccount } from "../../core/fault_boundary.ts";
import type { Peer } from "./admission_port.ts";

/** Who waits for the HELLO. */
export interface PendingPeerHost {
  /** The peer said something, or is gone. */
  receiveHello(pending: PendingPeer): void;
  /** The peer said nothing in time. */
  drop(pending: PendingPeer): void;
  /** What was done with what the peer said threw. */
  fail(pending: PendingPeer): void;
}

/** A peer before its HELLO. */
export class PendingPeer implements FdHandler, TimerHandler {
  /** The connection. */
  readonly socket: OwnedFd;
  /** Who it is. */
  readonly peer: Peer;
  readonly #host: PendingPeerHost;
  readonly #loop: LoopPort;
  #released = false;

  /**
   * Starts to watch the socket, and the peer's time to run.
   *
   * @param socket owned by the pending peer until {@linkcode PendingPeer.release}
   */
  constructor(host: PendingPeerHost, socket: OwnedFd, peer: Peer, loop: LoopPort) {
    this.#host = host;
    this.socket = socket;
    this.peer = peer;
    this.#loop = loop;
    loop.watch(socket.fd, IN | RDHUP, this);
    loop.arm(this, loop.clock.nowNs() + HELLO_TIMEOUT_MS * MS);
  }

  /** Called by the loop: there is something to read. */
  onReady(events: number): void {
    if ((events & (IN | RDHUP | HUP)) !== 0) this.#host.receiveHello(this);
  }

  /** Called by the loop: the peer was silent for too long. */
  onTimer(): void {
    this.#host.drop(this);
  }

  /** Called by the loop: see `core/fault_boundary.ts`. */
  faultAccount(): FaultAccount {
    const { uid, pid } = this.peer;
    return { name: `uid ${uid} pid ${pid}, before its HELLO`, principal: uid };
  }

  /** Called by the loop: reading from it threw. */
  onFault(): void {
    if (!this.#released) this.#host.fail(this);
  }

  /** Lets go of the socket, unwatched; the caller owns it. */
  release(): OwnedFd {
    assert(!this.#released, "a pending peer's socket is let go of once");
    this.#released = true;
    this.#loop.disarm(this);
    this.#loop.unwatch(this.socket.fd);
    return this.socket;
  }
}
