/**
 * What a monitor needs of its event loop: readiness, deadlines, a clock. The core's `LoopPort` has this
 * shape; `src/qemu` ranks below the core, so that code can talk to a QEMU without a bus.
 * @module
 */
import type { Clock } from "../../base/clock.ts";

/** An object with callbacks. The loop contains exceptions, and then reports them to it. */
export interface MonitorCallbacks {
  /** Whom a fault is attributed to, in the log. */
  faultAccount?(): { readonly name: string };
  /** A callback of this object threw: it abandons what it was doing, or starts anew. */
  onFault?(error: unknown): void;
}

/** Called when a watched fd is ready. */
export interface ReadyHandler extends MonitorCallbacks {
  /**
   * Called on the loop's thread.
   *
   * @param events epoll's bits
   */
  onReady(events: number): void;
}

/**
 * Called when a deadline has passed. Each object has at most one pending deadline: arming it again moves the
 * deadline.
 */
export interface DeadlineHandler extends MonitorCallbacks {
  /**
   * Called on the loop's thread, once per arming.
   *
   * @param nowNs the loop's time
   */
  onTimer(nowNs: number): void;
}

/** The loop. */
export interface MonitorLoop {
  /** Its clock: CLOCK_MONOTONIC, ns. */
  readonly clock: Clock;
  /** Watches an fd with epoll's `events` until {@linkcode unwatch}. */
  watch(fd: number, events: number, handler: ReadyHandler): void;
  /** Changes the events of a watched fd. */
  rewatch(fd: number, events: number): void;
  /** Stops watching, before the fd is closed. */
  unwatch(fd: number): void;
  /** Calls `handler` at `deadlineNs`; moves an earlier arming of the same handler. */
  arm(handler: DeadlineHandler, deadlineNs: number): void;
  /** Disarms a handler's deadline; does nothing if there is none. */
  disarm(handler: DeadlineHandler): void;
}
