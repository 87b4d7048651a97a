/**
 * What a monitor needs of the event loop that it lives on: readiness, deadlines, a clock. The core's
 * `LoopPort` is one, by its shape: `src/qemu` is below the core, so that whoever speaks to a QEMU needs no
 * bus.
 * @module
 */
import type { Clock } from "../../base/clock.ts";

/** Whoever is called back. What it throws is contained by the loop, which then tells it. */
export interface MonitorCallbacks {
  /** Whom a fault is about, for the log. */
  faultAccount?(): { readonly name: string };
  /** Something that was called on its behalf threw: it ends what it does, or begins anew. */
  onFault?(error: unknown): void;
}

/** Told when a watched fd is ready. */
export interface ReadyHandler extends MonitorCallbacks {
  /**
   * Called on the loop's thread.
   *
   * @param events epoll's bits
   */
  onReady(events: number): void;
}

/** Told when a deadline has come. One object, one pending deadline: arming again moves it. */
export interface DeadlineHandler extends MonitorCallbacks {
  /**
   * Called on the loop's thread, once an arming.
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
  /** Forgets a handler's deadline; harmless when there is none. */
  disarm(handler: DeadlineHandler): void;
}
