/**
 * epoll: waits for many descriptors at once. Each is registered with a tag, a number of the caller's, which
 * comes back with its events; nothing is allocated between two waits.
 *
 * It does not own what it watches: remove a descriptor before closing it, because a duplicate of it elsewhere
 * would keep it registered.
 * @module
 */
import { assert } from "../src/base/assert.ts";
import { Mapping } from "./mapping.ts";
import { check, ERRNO } from "./os_error.ts";
import { OwnedFd } from "./owned_fd.ts";
import { shim, type ShimSymbols } from "./shim.ts";

/** Readable. */
export const IN = 0x1;
/** Writable. */
export const OUT = 0x4;
/** Error; always reported. */
export const ERR = 0x8;
/** Hung up; always reported. */
export const HUP = 0x10;
/** The peer closed its writing half. */
export const RDHUP = 0x2000;
/** Edge-triggered. */
export const ET = 0x8000_0000;

const CTL_ADD = 1;
const CTL_DELETE = 2;
const CTL_MODIFY = 3;
// struct epoll_event is packed on x86-64: u32 events, u64 data.
const EVENT_BYTES = 12;
const EVENT_WORDS = 3;
const MS = 1_000_000;
const MAX_TIMEOUT_MS = 0x7fff_ffff;

/**
 * What of a descriptor holds now, without waiting and without an epoll instance (whose making and unmaking
 * changes the process's memory map).
 *
 * @param fd the descriptor
 * @param events IN, RDHUP, … or'ed; HUP and ERR are told always
 * @returns those that hold
 */
export function pollNow(fd: number, events: number): number {
  const result = shim().vmsig_poll(fd, events);
  // Interrupted: ask again another time.
  return result === -ERRNO.EINTR ? 0 : check(result, "poll");
}

/** An epoll instance. */
export class Poller implements Disposable {
  readonly #shim: ShimSymbols = shim();
  readonly #epoll: OwnedFd;
  readonly #memory: Mapping;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #address: number;
  readonly #maxEvents: number;
  // Kept apart: it is read at every wait. -1 once disposed of, for then the memory is gone as well.
  #fd: number;
  #preciseWait = true;
  #pending = false;

  /**
   * Makes one that watches nothing yet.
   *
   * @param maxEvents how many events one wait gives at most; the rest comes with the next
   */
  constructor(maxEvents = 256) {
    assert(maxEvents > 0, "a poller can report an event");
    this.#epoll = new OwnedFd(check(this.#shim.vmsig_epoll_create(), "epoll_create1"));
    this.#fd = this.#epoll.fd;
    this.#memory = Mapping.anonymous(maxEvents * EVENT_BYTES);
    this.#address = this.#memory.address;
    this.#words = new Uint32Array(this.#memory.buffer, 0, maxEvents * EVENT_WORDS);
    this.#maxEvents = maxEvents;
  }

  /** The epoll descriptor itself, borrowed: readable while events wait. */
  get fd(): number {
    return this.#epoll.fd;
  }

  /**
   * Watches a descriptor.
   *
   * @param fd the descriptor, borrowed
   * @param events IN, OUT, … or'ed
   * @param tag u32 that comes back with its events
   * @throws {OsError} EEXIST when it is watched already
   */
  add(fd: number, events: number, tag: number): void {
    check(this.#control(CTL_ADD, fd, events, tag), "epoll_ctl add");
  }

  /** Changes what a watched descriptor is watched for, and its tag. */
  modify(fd: number, events: number, tag: number): void {
    check(this.#control(CTL_MODIFY, fd, events, tag), "epoll_ctl modify");
  }

  /** Ends watching a descriptor; events of it that the last wait gave are still there. */
  remove(fd: number): void {
    check(this.#control(CTL_DELETE, fd, 0, 0), "epoll_ctl remove");
  }

  /** Ends watching a descriptor that may not be watched at all. */
  forget(fd: number): void {
    const result = this.#control(CTL_DELETE, fd, 0, 0);
    if (result !== -ERRNO.ENOENT) check(result, "epoll_ctl remove");
  }

  #control(operation: number, fd: number, events: number, tag: number): number {
    return this.#shim.vmsig_epoll_ctl(this.#epoll.fd, operation, fd, events >>> 0, tag >>> 0);
  }

  /**
   * Waits, and stops the whole thread meanwhile.
   *
   * @param timeoutMs at most this long; -1 for ever, 0 not at all
   * @returns how many events; 0 when the time is over or a signal came
   */
  wait(timeoutMs: number): number {
    return this.#count(this.#shim.vmsig_epoll_wait(this.#fd, this.#address, this.#maxEvents, timeoutMs));
  }

  /**
   * Waits with a timeout in ns. On a kernel before 5.11 it is rounded up to whole ms.
   *
   * @param timeoutNs at most this long; Infinity for ever, 0 or less not at all
   * @returns how many events; 0 when the time is over or a signal came
   */
  waitNs(timeoutNs: number): number {
    if (timeoutNs <= 0) return this.wait(0);
    if (timeoutNs === Infinity) return this.wait(-1);
    if (this.#preciseWait) {
      const n = this.#shim.vmsig_epoll_wait_ns(this.#fd, this.#address, this.#maxEvents, timeoutNs);
      if (n !== -ERRNO.ENOSYS) return this.#count(n);
      this.#preciseWait = false;
    }
    return this.wait(Math.min(Math.ceil(timeoutNs / MS), MAX_TIMEOUT_MS));
  }

  /**
   * Waits on a thread of Deno's own, so that this one goes on; one at a time. It cannot be cancelled: have
   * something registered that wakes it (an eventfd) before disposing of the poller.
   */
  async waitAsync(timeoutMs: number): Promise<number> {
    assert(!this.#pending, "one asynchronous wait of a poller runs at a time");
    this.#pending = true;
    try {
      return this.#count(
        await this.#shim.vmsig_epoll_wait_async(this.#epoll.fd, this.#address, this.#maxEvents, timeoutMs),
      );
    } finally {
      this.#pending = false;
    }
  }

  #count(result: number): number {
    if (result >= 0) return result;
    if (result === -ERRNO.EINTR) return 0;
    return check(result, "epoll_wait");
  }

  /** The tag of the last wait's event number `i`. */
  tag(i: number): number {
    return this.#words[i * EVENT_WORDS + 1] ?? 0;
  }

  /** The events of the last wait's event number `i`: IN, HUP, … or'ed, unsigned. */
  events(i: number): number {
    return this.#words[i * EVENT_WORDS] ?? 0;
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    assert(!this.#pending, "no asynchronous wait runs when its poller is disposed of");
    this.#fd = -1;
    this.#epoll.close();
    this.#memory[Symbol.dispose]();
  }
}
