/**
 * A doorbell: an eventfd that a peer in another process has open as well. Nothing that is done to it waits,
 * whatever the peer does to it meanwhile: taking O_NONBLOCK off it (the flag belongs to the open file, which
 * both share) and filling its counter make a plain write() or read() sleep for ever. `shim/vmsig_doorbell.c`
 * says how.
 *
 * An eventfd that stays within this process is an {@linkcode EventFd} and cheaper to signal.
 * @module
 */
import { check, ERRNO } from "./os_error.ts";
import { OwnedFd } from "./owned_fd.ts";
import { shim, type ShimSymbols } from "./shim.ts";

/** An eventfd that is shared with a peer, owned. */
export class Doorbell implements Disposable {
  readonly #shim: ShimSymbols = shim();
  readonly #owner: OwnedFd;

  private constructor(owner: OwnedFd) {
    this.#owner = owner;
  }

  /** Makes one, to be given to a peer. */
  static create(): Doorbell {
    return new Doorbell(new OwnedFd(check(shim().vmsig_eventfd(0), "eventfd")));
  }

  /**
   * Several at once, or none: when one cannot be made, those before it are closed.
   *
   * @throws {OsError} EMFILE, ENFILE, ENOMEM when there is no room for them
   */
  static createAll(count: number): Doorbell[] {
    const bells: Doorbell[] = [];
    try {
      while (bells.length < count) bells.push(Doorbell.create());
      return bells;
    } catch (error) {
      for (const bell of bells) bell[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * One that a peer made.
   *
   * @param fd what it sent: the doorbell's from now on
   * @returns undefined when it is not an eventfd: ringing that could do anything. It stays the caller's then
   */
  static receive(fd: OwnedFd): Doorbell | undefined {
    if (check(shim().vmsig_is_eventfd(fd.fd), "ask what a doorbell is") !== 1) return undefined;
    return new Doorbell(new OwnedFd(fd.release()));
  }

  /** The descriptor: readable from a ring until the count is taken ({@linkcode Doorbell.hush}). */
  get fd(): number {
    return this.#owner.fd;
  }

  /**
   * Rings. It never waits.
   *
   * @returns false when the counter is full, 2^64 - 2: the peer has filled it, which breaks the protocol
   */
  ring(): boolean {
    return check(this.#shim.vmsig_bell_ring(this.fd), "ring a doorbell") === 1;
  }

  /** Takes the count: it is not readable any more until it is rung again. It never waits. */
  hush(): void {
    const count = this.#shim.vmsig_bell_hush(this.fd);
    if (count < 0 && count !== -ERRNO.EAGAIN) check(count, "hush a doorbell");
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#owner.close();
  }
}
