/**
 * The port of a channel towards its transport: two doorbells out, one sleep that any doorbell in ends, and
 * whether the other end is still there. Between processes it is eventfds and a socket, between VMs an ivshmem
 * device; a test has its own.
 * @module
 */

/** Descriptors that a program may wait on itself; borrowed, and only where the transport has them. */
export interface ChannelFds {
  /** Readable once the other end rang for data; see Channel.fds. */
  readonly receive: number;
  /** Readable once the other end rang for room. */
  readonly send: number;
  /** Readable when the other end may have gone. */
  readonly control: number;
}

/** A transport, as a channel sees it. */
export interface ChannelLink {
  /**
   * Rings the other end: our outgoing ring has data. It never blocks, whatever the other end does to the
   * doorbell, and does not throw for an end that is gone.
   *
   * @returns false when the doorbell is full, as no correct end leaves it: this one means to stop us
   */
  ringData(): boolean;
  /** Rings the other end: its outgoing ring has room again. See {@linkcode ringData}. */
  ringSpace(): boolean;
  /**
   * Sleeps, the whole thread, until a doorbell or a sign of the other end's death, at most `timeoutNs`. A
   * doorbell rung since the last wait of this kind ends it at once. It may end without a reason.
   */
  wait(timeoutNs: number): void;
  /** The same without stopping the thread. Several may run at once: each ends when one would. */
  waitAsync(timeoutNs: number): Promise<void>;
  /**
   * Whether the transport still sees the other end. It never sleeps.
   *
   * @param look true to look now; false for what the last look or wait saw, which costs no system call
   */
  peerPresent(look: boolean): boolean;
  /** The descriptors, if it has any. */
  readonly fds: ChannelFds | undefined;
  /** Forgets the doorbells for data (or room) rung so far: the descriptor is not readable until the next. */
  clear(which: "receive" | "send"): void;
  /** Gives everything back. */
  close(): void;
}
