/**
 * eventfd: a counter that wakes a thread in epoll_wait. Any thread of the process, and any process that was
 * given it, may signal it.
 * @module
 */
import { check, ERRNO } from "./os_error.ts";
import { OwnedFd } from "./owned_fd.ts";
import { shim, type ShimSymbols } from "./shim.ts";

/** An eventfd, owned or borrowed. */
export class EventFd implements Disposable {
  readonly #shim: ShimSymbols = shim();
  readonly #owner: OwnedFd | undefined;
  readonly #borrowed: number;

  private constructor(owner: OwnedFd | undefined, borrowed: number) {
    this.#owner = owner;
    this.#borrowed = borrowed;
  }

  /**
   * Makes one.
   *
   * @param semaphore true: each drain takes one off instead of all
   */
  static create(semaphore = false): EventFd {
    return EventFd.own(new OwnedFd(check(shim().vmsig_eventfd(semaphore ? 1 : 0), "eventfd")));
  }

  /** One that was received: it is closed with this object. */
  static own(fd: OwnedFd): EventFd {
    return new EventFd(fd, -1);
  }

  /** Somebody else's, such as another thread's: it stays open when this object goes. */
  static borrow(fd: number): EventFd {
    return new EventFd(undefined, fd);
  }

  /** The descriptor: readable while the counter is not zero. */
  get fd(): number {
    return this.#owner === undefined ? this.#borrowed : this.#owner.fd;
  }

  /** Adds `n` to the counter. A full counter is left as it is: its reader is going to wake anyway. */
  signal(n = 1): void {
    const result = this.#shim.vmsig_eventfd_write(this.fd, n);
    if (result < 0 && result !== -ERRNO.EAGAIN) check(result, "write to an eventfd");
  }

  /** Takes the counter and makes it zero (semaphore: takes one off). 0 when it was zero. */
  drain(): number {
    const count = this.#shim.vmsig_eventfd_read(this.fd);
    if (count >= 0) return count;
    return count === -ERRNO.EAGAIN ? 0 : check(count, "read from an eventfd");
  }

  /** Closes it, if it is owned. */
  [Symbol.dispose](): void {
    this.#owner?.close();
  }
}
