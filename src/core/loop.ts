/**
 * The event loop: one synchronous epoll_wait on a thread of its own, without promises. It watches
 * descriptors, keeps deadlines (with one timerfd, armed only while a deadline is pending, so an idle loop
 * does not wake), and after the callbacks of a turn has the core process its events.
 *
 * A turn is short however much there is to do: after 1.5 ms of callbacks, or when they have queued enough for
 * the core, the remaining ready descriptors and due timers wait for the next turn, ahead of those that become
 * ready meanwhile.
 *
 * An exception in a callback (of a descriptor, a timer or a deferred task) does not end the loop: the
 * boundary (fault_boundary.ts, which says what is contained) counts and reports it, and the handler's
 * `onFault` ends what it watched. The descriptor of a handler without `onFault` is no longer watched, or the
 * loop would spin. Exceptions in the hook are not contained here: the core contains those of its controls and
 * adapters where it calls them, and any other is a defect of the core.
 *
 * Two ways to run it: `run` for a thread that does nothing else, `runYielding` for a program that embeds the
 * core on a thread with promises.
 * @module
 */
import { assert } from "../base/assert.ts";
import { type Clock, NEVER } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { Poller } from "../../ffi/poller.ts";
import { TimerFd } from "../../ffi/timer_fd.ts";
import type { FdHandler, LoopPort, TimerHandler, TurnHook } from "./adapter_port.ts";
import { FaultBoundary, type FaultHandler } from "./fault_boundary.ts";
import { Histogram } from "./histogram.ts";
import { LoopPriority, type ThreadScheduling } from "./loop_priority.ts";
import { Timers } from "./timers.ts";

const IN = 0x1;
const TIMER_TAG = 0;
const FD_BITS = 20;
const FD_MASK = (1 << FD_BITS) - 1;
const EVENTS_A_WAIT = 256;
/** Time limit for starting callbacks in one turn, ns; a running callback is not interrupted. */
const CALLBACKS_NS = 1_500_000;
/** A timer that is later than this was not delayed by the loop's own turns, ns. */
const AWAY_NS = 50_000_000;

/** Whether the loop runs. */
type RunState =
  | "running"
  /** {@linkcode Loop.run} returns, and can be called again. */
  | "left"
  /** The loop has ended for good. */
  | "stopped";

interface Deferred {
  readonly task: () => void;
  readonly owner: FaultHandler | undefined;
}

interface Watch {
  readonly handler: FdHandler;
  readonly tag: number;
}

/** Options of a loop. */
export interface LoopOptions {
  /** The clock for everything on the loop. */
  readonly clock: Clock;
  /** The log for contained faults. */
  readonly log: Log;
  /** Contains what callbacks throw. Omitted: the loop makes its own. */
  readonly faults?: FaultBoundary;
  /** Time to poll before sleeping, ns: lower latency at the cost of a processor core. */
  readonly spinNs?: number;
  /**
   * Makes the loop's thread realtime while it is mostly idle (loop_priority.ts). Omitted: normal scheduling.
   * Called on the thread that makes the loop.
   */
  readonly scheduling?: ThreadScheduling;
}

/** An epoll loop with timers. */
export class Loop implements LoopPort, Disposable {
  /** The clock for everything on the loop. */
  readonly clock: Clock;
  /** Durations of turns, ns. */
  readonly turns: Histogram = new Histogram();
  /** The scheduling of its thread; null if it is not managed. */
  readonly priority: LoopPriority | null;
  /** Contains what callbacks throw, and counts the faults. */
  readonly faults: FaultBoundary;
  readonly #log: Log;
  readonly #spinNs: number;
  readonly #poller = new Poller(EVENTS_A_WAIT);
  readonly #timer: TimerFd = TimerFd.create();
  readonly #timers = new Timers();
  readonly #watches: (Watch | undefined)[] = [];
  #deferred: Deferred[] = [];
  #hook: TurnHook | null = null;
  #armedNs = NEVER;
  /** Events of the last wait, and the number of them that were dispatched. */
  #ready = 0;
  #dispatched = 0;
  #startNs = 0;
  /** The hook needs another turn at once. */
  #isDue = false;
  #generation = 0;
  #watched = 0;
  #state: RunState = "running";

  /** Makes a loop that watches nothing yet. */
  constructor(options: LoopOptions) {
    this.clock = options.clock;
    this.#log = options.log;
    this.faults = options.faults ?? new FaultBoundary(options.log, options.clock);
    this.#spinNs = options.spinNs ?? 0;
    this.#poller.add(this.#timer.fd, IN, TIMER_TAG);
    this.priority = options.scheduling === undefined
      ? null
      : new LoopPriority(options.scheduling, options.clock.nowNs());
  }

  /** Number of watched descriptors. */
  get watched(): number {
    return this.#watched;
  }

  /** Number of armed deadlines. */
  get armed(): number {
    return this.#timers.size;
  }

  everyTurn(hook: TurnHook): void {
    assert(this.#hook === null, "one hook runs once a turn");
    this.#hook = hook;
  }

  watch(fd: number, events: number, handler: FdHandler): void {
    assert(fd <= FD_MASK && this.#watches[fd] === undefined, "a descriptor is watched once");
    this.#generation = (this.#generation + 1) & 0xfff;
    // Tag 0 is the timer's. The generation in a tag keeps an event of a closed descriptor from reaching a new
    // descriptor with the same number.
    const tag = ((this.#generation << FD_BITS) | fd) >>> 0;
    this.#watches[fd] = { handler, tag };
    this.#poller.add(fd, events, tag);
    this.#watched++;
  }

  rewatch(fd: number, events: number): void {
    const watch = this.#watches[fd];
    assert(watch !== undefined, "only a watched descriptor is changed");
    this.#poller.modify(fd, events, watch.tag);
  }

  unwatch(fd: number): void {
    if (this.#watches[fd] === undefined) return;
    this.#watches[fd] = undefined;
    this.#watched--;
    this.#poller.remove(fd);
  }

  arm(handler: TimerHandler, deadlineNs: number): void {
    this.#timers.arm(handler, deadlineNs);
  }

  disarm(handler: TimerHandler): void {
    this.#timers.disarm(handler);
  }

  defer(task: () => void, owner?: FaultHandler): void {
    this.#deferred.push({ task, owner });
  }

  /** Ends the loop for good: `run` returns at the end of this turn. */
  stop(): void {
    this.#state = "stopped";
  }

  /** Makes `run` return at the end of this turn; `run` can be called again. */
  leave(): void {
    if (this.#state === "running") this.#state = "left";
  }

  /** Whether it was stopped. */
  get stopped(): boolean {
    return this.#state === "stopped";
  }

  /** Runs until {@linkcode stop} or {@linkcode leave}. The thread does nothing else meanwhile. */
  run(): void {
    if (this.#state === "left") this.#state = "running";
    while (this.#isRunning()) this.turn(-1);
  }

  /**
   * Runs until {@linkcode stop} on a thread that also has promises: waits without blocking the thread, and
   * yields after each turn.
   *
   * @param onTurn called after each turn, for instance to check an AbortSignal
   */
  async runYielding(onTurn?: () => void): Promise<void> {
    while (!this.stopped) {
      this.#arm();
      if (!this.#goesOn()) await this.#poller.waitAsync(100);
      this.turn(0);
      onTurn?.();
    }
  }

  /**
   * One turn: waits, calls callbacks, processes events, runs deferred tasks.
   *
   * @param timeoutMs longest wait; -1 = until something happens
   */
  turn(timeoutMs: number): void {
    this.#arm();
    if (this.#dispatched === this.#ready) {
      this.#dispatched = 0;
      this.#ready = this.#goesOn() ? this.#poller.wait(0) : this.#wait(timeoutMs);
    }
    const startNs = this.clock.nowNs();
    this.#startNs = startNs;
    this.#dispatchReady();
    // If a deadline passed this long ago, this process itself was not running, and if a signal ended the
    // wait, no descriptor was polled. In both cases data of a peer may be unread, so descriptors are polled
    // before timers report the peer as silent.
    if (this.#dispatched === this.#ready && startNs - this.#timers.earliestNs > AWAY_NS) {
      this.#dispatched = 0;
      this.#ready = this.#poller.wait(0);
      this.#dispatchReady();
    }
    this.#timers.fire(startNs, this.#mayStop, this.#onTimerFault);
    this.#hook?.turn(startNs);
    this.#runDeferred();
    const endNs = this.clock.nowNs();
    this.turns.note(endNs - startNs);
    this.priority?.note(endNs);
  }

  /** Closes the loop's own descriptors. Everything watched must have been unwatched. */
  [Symbol.dispose](): void {
    this.#poller.remove(this.#timer.fd);
    this.#timer[Symbol.dispose]();
    this.#poller[Symbol.dispose]();
  }

  #isRunning(): boolean {
    return this.#state === "running";
  }

  /** Whether there is work that no descriptor announces. */
  #goesOn(): boolean {
    return this.#deferred.length > 0 || this.#dispatched < this.#ready || this.#isDue;
  }

  /** Whether the callbacks of this turn have used up their share. */
  readonly #mayStop = (): boolean =>
    this.#hook?.isLoaded === true || this.clock.nowNs() - this.#startNs > CALLBACKS_NS;

  #wait(timeoutMs: number): number {
    if (this.#spinNs > 0 && timeoutMs !== 0) {
      const untilNs = this.clock.nowNs() + this.#spinNs;
      do {
        const count = this.#poller.wait(0);
        if (count > 0) return count;
      } while (this.clock.nowNs() < untilNs);
    }
    return this.#poller.wait(timeoutMs);
  }

  #dispatchReady(): void {
    while (this.#dispatched < this.#ready) {
      const i = this.#dispatched++;
      this.#dispatch(this.#poller.tag(i), this.#poller.events(i));
      if (this.#dispatched < this.#ready && this.#mayStop()) return;
    }
  }

  #dispatch(tag: number, events: number): void {
    if (tag === TIMER_TAG) {
      this.#timer.drain();
      this.#armedNs = NEVER;
      return;
    }
    const watch = this.#watches[tag & FD_MASK];
    if (watch === undefined || watch.tag !== tag) return;
    try {
      watch.handler.onReady(events);
    } catch (error) {
      this.#onReadyFault(tag & FD_MASK, watch, error);
    }
  }

  #onReadyFault(fd: number, watch: Watch, error: unknown): void {
    if (this.faults.contain("descriptor", error, watch.handler)) return;
    // Watching is level-triggered: the callback would be called, and fail, in every turn from now on.
    if (this.#watches[fd] !== watch) return;
    this.unwatch(fd);
    this.#log.error("the descriptor is no longer watched", { fd });
  }

  readonly #onTimerFault = (handler: TimerHandler, error: unknown): void => {
    this.faults.contain("timer", error, handler);
  };

  #arm(): void {
    const hookNs = this.#hook === null ? NEVER : this.#hook.deadlineNs();
    // A deadline that is due at once needs no timer.
    this.#isDue = hookNs === 0;
    if (this.#isDue) return;
    const dueNs = Math.min(this.#timers.earliestNs, hookNs);
    // A timer that fires too early costs one empty turn; moving it later each time would cost a system call
    // per turn.
    if (dueNs >= this.#armedNs) return;
    this.#timer.armAt(Math.max(dueNs, 1));
    this.#armedNs = dueNs;
  }

  #runDeferred(): void {
    if (this.#deferred.length === 0) return;
    const tasks = this.#deferred;
    this.#deferred = [];
    for (const { task, owner } of tasks) {
      try {
        task();
      } catch (error) {
        this.faults.contain("task", error, owner ?? {});
      }
    }
  }
}
