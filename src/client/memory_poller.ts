/**
 * The rounds of a memory watch, on a thread of their own: reads all values of all guests at each tick, and
 * posts the changes. Between two ticks the thread sleeps in a wait on shared memory, which a message to it
 * ends; only then does it return to its event loop.
 *
 * A tick during a running round, or while the consumer has too many batches to process, is skipped and
 * counted. Nothing is queued for it: a value that changed meanwhile is reported with its current contents.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { monotonicClock } from "../../ffi/clock.ts";
import { Fault, messageOf } from "../base/fault.ts";
import {
  MAX_WAITING_BATCHES,
  SHARED,
  type WatchContext,
  type WatchOrder,
  type WatchReport,
} from "./memory_watch_messages.ts";
import { WatchedGuest } from "./watched_guest.ts";

/** Interval at which missing processes are looked for, and rates are reported, ms. */
const SECOND_MS = 1000;
/** Upper limit of the wait, ms, in case a message was not counted in time. */
const LONGEST_WAIT_MS = 250;

/** What the rounds need of a guest. */
export type PolledGuest = Pick<WatchedGuest, "endpoint" | "epoch" | "look" | "findAbsent"> & Disposable;

/** The environment of the rounds: guests and clock. */
export interface PollerPorts {
  /** Opens the values of a guest. @throws {Fault} when none can be watched there */
  open(context: WatchContext): PolledGuest;
  /** The time, ms, from an arbitrary origin. */
  nowMs(): number;
  /** Sleeps for so many ms, or until the word of `SHARED.posted` differs from `seen`. */
  sleep(shared: Int32Array<SharedArrayBuffer>, seen: number, ms: number): void;
}

const REAL: PollerPorts = {
  open: (context) => new WatchedGuest(context),
  nowMs: () => performance.now(),
  sleep: (shared, seen, ms) => void Atomics.wait(shared, SHARED.posted, seen, ms),
};

/** Runs the rounds. */
export class MemoryPoller {
  readonly #report: (report: WatchReport) => void;
  readonly #ports: PollerPorts;
  readonly #guests = new Map<EndpointId, PolledGuest>();
  readonly #shared: Int32Array<SharedArrayBuffer>;
  readonly #periodMs: number;
  #received = 0;
  #sent = 0;
  #nextMs = 0;
  #secondMs = 0;
  #rounds = 0;
  readonly #missed = { looking: 0, reader: 0 };
  #isRunning = false;
  #isScheduled = false;

  /**
   * Starts without values.
   *
   * @param report receives the findings; a batch is counted until the consumer has taken it
   * @param ports the environment; replaced by tests
   */
  constructor(
    shared: SharedArrayBuffer,
    rateHz: number,
    report: (report: WatchReport) => void,
    ports: PollerPorts = REAL,
  ) {
    this.#shared = new Int32Array(shared);
    this.#periodMs = 1000 / rateHz;
    this.#report = report;
    this.#ports = ports;
  }

  /** Handles a message, and posts the results. */
  take(order: WatchOrder): void {
    this.#received++;
    switch (order.what) {
      case "context":
        this.#end(order.endpoint);
        this.#open(order);
        break;
      case "end":
        this.#end(order.endpoint);
        break;
      case "stop":
        for (const endpoint of [...this.#guests.keys()]) this.#end(endpoint);
        return this.#report({ what: "closed" });
    }
    if (!this.#isRunning) {
      this.#nextMs = this.#secondMs = this.#ports.nowMs();
      this.#rounds = 0;
    }
    this.#schedule();
  }

  #open(context: WatchContext): void {
    const { endpoint, epoch } = context;
    try {
      this.#guests.set(endpoint, this.#ports.open(context));
      this.#report({ what: "opened", endpoint, epoch });
    } catch (error) {
      const code = error instanceof Fault ? error.code : "seam-down";
      this.#report({ what: "failed", endpoint, epoch, code, text: messageOf(error) });
    }
  }

  #end(endpoint: EndpointId): void {
    this.#guests.get(endpoint)?.[Symbol.dispose]();
    this.#guests.delete(endpoint);
  }

  #schedule(): void {
    this.#isRunning = this.#guests.size > 0;
    if (this.#isScheduled || !this.#isRunning) return;
    this.#isScheduled = true;
    setTimeout(() => {
      this.#isScheduled = false;
      this.#run();
    }, 0);
  }

  /** Runs rounds until there is a message. */
  #run(): void {
    for (;;) {
      if (this.#guests.size === 0 || Atomics.load(this.#shared, SHARED.posted) !== this.#received) {
        return this.#schedule();
      }
      const waitMs = this.#nextMs - this.#ports.nowMs();
      if (waitMs > 0) {
        this.#ports.sleep(this.#shared, this.#received, Math.min(waitMs, LONGEST_WAIT_MS));
        continue;
      }
      this.#round();
      const lateMs = this.#ports.nowMs() - this.#nextMs;
      const skipped = Math.floor(lateMs / this.#periodMs);
      this.#missed.looking += skipped;
      this.#nextMs += (1 + skipped) * this.#periodMs;
      this.#everySecond();
    }
  }

  #round(): void {
    // A consumer that is behind receives the current values once it has caught up.
    if (this.#sent - Atomics.load(this.#shared, SHARED.taken) >= MAX_WAITING_BATCHES) {
      this.#missed.reader++;
      return;
    }
    this.#rounds++;
    const tsNs = monotonicClock.nowNs();
    for (const guest of this.#guests.values()) this.#look(guest, (one) => one.look(tsNs));
  }

  #look(guest: PolledGuest, how: (guest: PolledGuest) => WatchReport | undefined): void {
    try {
      const batch = how(guest);
      if (batch === undefined) return;
      this.#sent++;
      this.#report(batch);
    } catch (error) {
      const { endpoint, epoch } = guest;
      this.#end(endpoint);
      const code = error instanceof Fault ? error.code : "seam-down";
      this.#report({ what: "failed", endpoint, epoch, code, text: messageOf(error) });
    }
  }

  #everySecond(): void {
    const nowMs = this.#ports.nowMs();
    const pastMs = nowMs - this.#secondMs;
    if (pastMs < SECOND_MS) return;
    for (const because of ["looking", "reader"] as const) {
      const missed = this.#missed[because];
      if (missed > 0) {
        this.#report({ what: "rate", reachedHz: this.#rounds * 1000 / pastMs, missed, because });
      }
      this.#missed[because] = 0;
    }
    this.#rounds = 0;
    this.#secondMs = nowMs;
    for (const guest of this.#guests.values()) {
      this.#look(guest, (one) => {
        one.findAbsent();
        return undefined;
      });
    }
  }
}
