/**
 * A small event loop over a poller, for use without a daemon: in tests, in commands that serve one channel,
 * and for a listener that is to be watched as one descriptor.
 *
 * Either it runs ({@linkcode PollerRegistrar.run}), or its owner watches {@linkcode PollerRegistrar.fd} and
 * calls `turn`.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import { EventFd } from "../../ffi/event_fd.ts";
import { IN, Poller } from "../../ffi/poller.ts";
import { TimerFd } from "../../ffi/timer_fd.ts";
import type { FdCallback, FdRegistrar, TimeCallback } from "./ivshmem_server.ts";

const WAKE_TAG = 0;
const TIMER_TAG = 1;
const FIRST_TAG = 2;

/** Watches descriptors and deadlines, and calls back. */
export class PollerRegistrar implements FdRegistrar, Disposable {
  /** See `FdRegistrar`. */
  readonly clock: { nowNs(): number } = monotonicClock;
  readonly #poller = new Poller(32);
  readonly #tags = new Map<number, number>();
  readonly #handlers = new Map<number, FdCallback>();
  readonly #deadlines = new Map<TimeCallback, number>();
  readonly #timer: TimerFd;
  #wake: EventFd | undefined;
  #lastTag = FIRST_TAG;
  #stopped = false;

  /**
   * Starts without descriptors. Everything it needs is made now, so that it cannot fail for lack of
   * descriptors later.
   */
  constructor() {
    try {
      this.#timer = TimerFd.create();
    } catch (error) {
      this.#poller[Symbol.dispose]();
      throw error;
    }
    this.#poller.add(this.#timer.fd, IN, TIMER_TAG);
  }

  /** Readable when {@linkcode PollerRegistrar.turn} has something to do; borrowed. */
  get fd(): number {
    return this.#poller.fd;
  }

  /** See `FdRegistrar`. */
  watch(fd: number, events: number, handler: FdCallback): void {
    const tag = ++this.#lastTag; // never reused: an event of a closed descriptor finds nobody
    this.#poller.add(fd, events, tag);
    this.#tags.set(fd, tag);
    this.#handlers.set(tag, handler);
  }

  /** See `FdRegistrar`. */
  unwatch(fd: number): void {
    const tag = this.#tags.get(fd);
    if (tag === undefined) return;
    this.#tags.delete(fd);
    this.#handlers.delete(tag);
    this.#poller.remove(fd);
  }

  /** See `FdRegistrar`. */
  arm(handler: TimeCallback, deadlineNs: number): void {
    this.#deadlines.set(handler, deadlineNs);
    this.#setTimer();
  }

  /** See `FdRegistrar`. */
  disarm(handler: TimeCallback): void {
    if (this.#deadlines.delete(handler)) this.#setTimer();
  }

  /** Handles what is ready, without waiting. */
  turn(): void {
    this.#serve(this.#poller.wait(0));
  }

  /** Runs until {@linkcode stop} without blocking the thread. */
  async run(): Promise<void> {
    if (this.#stopped) return;
    this.#wake = EventFd.create();
    this.#poller.add(this.#wake.fd, IN, WAKE_TAG);
    while (!this.#stopped) this.#serve(await this.#poller.waitAsync(-1));
  }

  /** Ends {@linkcode run}. */
  stop(): void {
    this.#stopped = true;
    this.#wake?.signal();
  }

  /** Closes everything; to be called after run() has ended. */
  [Symbol.dispose](): void {
    this.#poller[Symbol.dispose]();
    this.#timer[Symbol.dispose]();
    this.#wake?.[Symbol.dispose]();
  }

  #serve(count: number): void {
    let isDue = false;
    for (let i = 0; i < count; i++) {
      const tag = this.#poller.tag(i);
      if (tag === TIMER_TAG) isDue = true;
      else this.#handlers.get(tag)?.onReady(this.#poller.events(i));
    }
    if (isDue) this.#fire();
  }

  #fire(): void {
    const nowNs = this.clock.nowNs();
    for (const [handler, deadlineNs] of [...this.#deadlines]) {
      if (deadlineNs > nowNs || !this.#deadlines.delete(handler)) continue;
      handler.onTimer(nowNs);
    }
    this.#setTimer();
  }

  #setTimer(): void {
    this.#timer.drain();
    this.#timer.armAt(Math.min(...this.#deadlines.values()));
  }
}
