/**
 * A connected peer that has not said HELLO yet: one descriptor and a deadline. It decides nothing; it tells
 * its host that there is something to hear, and gives up on a peer that stays silent.
 * @module
 */
import { HUP, IN, RDHUP } from "../../../ffi/poller.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { MS } from "../../base/clock.ts";
import { HELLO_TIMEOUT_MS } from "../../base/limits.ts";
import type { FdHandler, LoopPort, TimerHandler } from "../../core/adapter_port.ts";
import type { FaultAccount } from "../../core/barrier.ts";
import type { Peer } from "./doorkeeper.ts";

/** Who waits for the HELLO. */
export interface GreeterHost {
  /** The peer said something, or is gone. */
  greet(greeter: Greeter): void;
  /** The peer said nothing in time. */
  dismiss(greeter: Greeter): void;
  /** What was done with what the peer said threw. */
  fail(greeter: Greeter): void;
}

/** A peer at the door. */
export class Greeter implements FdHandler, TimerHandler {
  /** The connection. */
  readonly socket: OwnedFd;
  /** Who it is. */
  readonly peer: Peer;
  readonly #host: GreeterHost;
  readonly #loop: LoopPort;
  #released = false;

  /**
   * Starts to listen, and the peer's time to run.
   *
   * @param socket owned by the greeter until {@linkcode Greeter.release}
   */
  constructor(host: GreeterHost, socket: OwnedFd, peer: Peer, loop: LoopPort) {
    this.#host = host;
    this.socket = socket;
    this.peer = peer;
    this.#loop = loop;
    loop.watch(socket.fd, IN | RDHUP, this);
    loop.arm(this, loop.clock.nowNs() + HELLO_TIMEOUT_MS * MS);
  }

  /** Called by the loop: there is something to hear. */
  onReady(events: number): void {
    if ((events & (IN | RDHUP | HUP)) !== 0) this.#host.greet(this);
  }

  /** Called by the loop: the peer was silent for too long. */
  onTimer(): void {
    this.#host.dismiss(this);
  }

  /** Called by the loop: see `core/barrier.ts`. */
  faultAccount(): FaultAccount {
    const { uid, pid } = this.peer;
    return { name: `uid ${uid} pid ${pid}, before its HELLO`, principal: uid };
  }

  /** Called by the loop: hearing it threw. */
  onFault(): void {
    if (!this.#released) this.#host.fail(this);
  }

  /** Lets go of the socket, unwatched; the caller owns it. */
  release(): OwnedFd {
    this.#released = true;
    this.#loop.disarm(this);
    this.#loop.unwatch(this.socket.fd);
    return this.socket;
  }
}
