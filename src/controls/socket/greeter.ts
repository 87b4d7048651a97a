/**
 * A connected peer that has not said HELLO yet: one descriptor and a deadline. It decides nothing; it tells its host that there is something to hear, and gives up on
 * a peer that stays silent.
 * @module
 */
import { HUP, IN, RDHUP } from "../../../ffi/poller.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { MS } from "../../base/clock.ts";
import { HELLO_TIMEOUT_MS } from "../../base/limits.ts";
import type { FdHandler, LoopPort, TimerHandler } from "../../core/adapter_port.ts";

/** Who waits for the HELLO. */
export interface GreeterHost {
  /** The peer said something, or is gone. */
  greet(greeter: Greeter, socket: OwnedFd): void;
  /** The peer said nothing in time. */
  dismiss(greeter: Greeter): void;
}

/** A peer at the door. */
export class Greeter implements FdHandler, TimerHandler {
  /** The connection. */
  readonly socket: OwnedFd;
  readonly #host: GreeterHost;
  readonly #loop: LoopPort;

  /**
   * Starts to listen, and the peer's time to run.
   *
   * @param socket owned by the greeter until {@linkcode Greeter.release}
   */
  constructor(host: GreeterHost, socket: OwnedFd, loop: LoopPort) {
    this.#host = host;
    this.socket = socket;
    this.#loop = loop;
    loop.watch(socket.fd, IN | RDHUP, this);
    loop.arm(this, loop.clock.nowNs() + HELLO_TIMEOUT_MS * MS);
  }

  /** Called by the loop: there is something to hear. */
  onReady(events: number): void {
    if ((events & (IN | RDHUP | HUP)) !== 0) this.#host.greet(this, this.socket);
  }

  /** Called by the loop: the peer was silent for too long. */
  onTimer(): void {
    this.#host.dismiss(this);
  }

  /** Lets go of the socket, unwatched; the caller owns it. */
  release(): OwnedFd {
    this.#loop.disarm(this);
    this.#loop.unwatch(this.socket.fd);
    return this.socket;
  }
}
