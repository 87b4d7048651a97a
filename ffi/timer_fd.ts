/**
 * timerfd: becomes readable at a given time of CLOCK_MONOTONIC. It fires once and is armed again for each
 * further time, so that nothing ticks when nothing is due.
 * @module
 */
import { check, ERRNO } from "./os_error.ts";
import { OwnedFd } from "./owned_fd.ts";
import { shim, type ShimSymbols } from "./shim.ts";

/** A one-shot timer with an absolute deadline. */
export class TimerFd implements Disposable {
  readonly #shim: ShimSymbols = shim();
  readonly #owner: OwnedFd;

  private constructor(owner: OwnedFd) {
    this.#owner = owner;
  }

  /** Makes one, not armed. */
  static create(): TimerFd {
    return new TimerFd(new OwnedFd(check(shim().vmsig_timerfd(), "timerfd_create")));
  }

  /** The descriptor: readable when the deadline is past. */
  get fd(): number {
    return this.#owner.fd;
  }

  /**
   * Sets the deadline, in place of an earlier one. One that is past fires at once; Infinity disarms.
   *
   * @param deadlineNs absolute time of CLOCK_MONOTONIC, in ns
   */
  armAt(deadlineNs: number): void {
    // To the system call 0 would mean "disarm".
    const deadline = deadlineNs === Infinity ? 0 : Math.max(1, deadlineNs);
    check(this.#shim.vmsig_timerfd_settime(this.#owner.fd, deadline), "timerfd_settime");
  }

  /** Takes the deadline away; it will not fire, and is no longer readable if it had. */
  disarm(): void {
    check(this.#shim.vmsig_timerfd_settime(this.#owner.fd, 0), "timerfd_settime");
  }

  /** Makes it unreadable again: 1 when it had fired, else 0. */
  drain(): number {
    const count = this.#shim.vmsig_eventfd_read(this.#owner.fd);
    if (count >= 0) return count;
    return count === -ERRNO.EAGAIN ? 0 : check(count, "read from a timerfd");
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#owner.close();
  }
}
