/**
 * The rounds of a memory watch, on a thread of their own: looks at all values of all guests at each tick,
 * and posts what has changed. Between two ticks it sleeps in a wait on shared memory, which a message to it
 * ends: only then does it go back to its event loop.
 *
 * A tick that comes while the last round still goes on, or while the reader has too many batches to take, is
 * left out and counted. Nothing is queued for it: a value that changed meanwhile is told as it is then.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { monotonicClock } from "../../ffi/clock.ts";
import { OwnedFd } from "../../ffi/owned_fd.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { findersFor } from "../guest/finders.ts";
import { findGuest } from "../guest/find_guest.ts";
import type { GuestOs } from "../guest/guest_os.ts";
import { MemoryWatch, type Place, type WatchSink } from "../guest/memory_watch.ts";
import type { PhysicalMemory } from "../guest/physical_memory.ts";
import { systemOfNumber } from "../guest/systems.ts";
import { openMemsegs } from "../ram/memseg_ram.ts";
import {
  MAX_WAITING_BATCHES,
  SHARED,
  type WatchOrder,
  type WatchReport,
  type WireValue,
} from "./memory_watch_messages.ts";

/** How often processes that are not there (yet) are looked for, and rates are told. */
const SECOND_MS = 1000;
/** The wait is no longer than this: a message that was not counted yet is not waited for. */
const LONGEST_WAIT_MS = 250;

type Context = Extract<WatchOrder, { what: "context" }>;

/** One guest's values. */
class WatchedGuest implements WatchSink, Disposable {
  readonly endpoint: EndpointId;
  readonly epoch: number;
  readonly #memory: PhysicalMemory;
  readonly #os: GuestOs;
  #groups: { readonly watch: MemoryWatch; readonly values: readonly WireValue[] }[] = [];
  #absent: WireValue[];
  #told = new Set<WireValue>();
  #values: readonly WireValue[] = [];
  readonly #ids: Int32Array<ArrayBuffer>;
  readonly #words: BigUint64Array<ArrayBuffer>;
  #count = 0;
  #others: { index: number; found: Uint8Array<ArrayBuffer> | string }[] = [];

  constructor(context: Context) {
    this.endpoint = context.endpoint;
    this.epoch = context.epoch;
    this.#absent = [...context.values];
    this.#ids = new Int32Array(context.values.length);
    this.#words = new BigUint64Array(context.values.length);
    // Borrowed: whoever sent the numbers closes them.
    const fds = context.fds.map((fd) => new OwnedFd(fd));
    try {
      this.#memory = openMemsegs(context.body, fds, `RAM of ${context.name}`);
    } finally {
      for (const fd of fds) fd.release();
    }
    try {
      this.#os = systemIn(this.#memory, context);
      this.findAbsent();
    } catch (error) {
      this.#memory[Symbol.dispose]();
      throw error;
    }
  }

  /** Looks for the processes that were not there, or have ended; each that is there is watched then. */
  findAbsent(): void {
    for (const { watch, values } of this.#groups) {
      watch.checkProcesses();
      for (const i of watch.gone()) {
        const value = values[i] as WireValue;
        if (!this.#absent.includes(value)) this.#absent.push(value);
        this.#told.add(value);
      }
    }
    if (this.#absent.length === 0) return;
    const processes = new Map(this.#os.processes().items.map((process) => [process.pid, process]));
    const places: Place[] = [];
    const found: WireValue[] = [];
    this.#absent = this.#absent.filter((value) => {
      const base = value.symbol === undefined ? 0 : this.#os.symbol(value.symbol);
      const process = value.pid === undefined ? undefined : processes.get(value.pid);
      const reason = base === undefined
        ? "no-symbol"
        : value.pid !== undefined && process === undefined
        ? "no-process"
        : undefined;
      if (reason === undefined) {
        places.push({ gva: (base as number) + value.gva, sizeBytes: value.sizeBytes, process });
        found.push(value);
        this.#told.delete(value);
        return false;
      }
      if (!this.#told.has(value)) this.#others.push({ index: value.index, found: reason });
      this.#told.add(value);
      // A kernel that lacks a symbol will not get it.
      return reason === "no-process";
    });
    if (found.length === 0) return;
    this.#groups = this.#groups.filter(({ watch, values }) => watch.gone().length < values.length);
    this.#groups.push({ watch: new MemoryWatch(this.#os, places), values: found });
  }

  /** One round; what it found, or undefined when nothing is new. */
  look(tsNs: number): WatchReport | undefined {
    for (const { watch, values } of this.#groups) {
      this.#values = values;
      watch.look(this);
    }
    if (this.#count === 0 && this.#others.length === 0) return undefined;
    const batch: WatchReport = {
      what: "batch",
      endpoint: this.endpoint,
      epoch: this.epoch,
      tsNs,
      ids: this.#ids.slice(0, this.#count),
      words: this.#words.slice(0, this.#count),
      others: this.#others,
    };
    this.#count = 0;
    this.#others = [];
    return batch;
  }

  onWord(index: number, value: bigint): void {
    this.#ids[this.#count] = (this.#values[index] as WireValue).index;
    this.#words[this.#count++] = value;
  }

  onBytes(index: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.#others.push({ index: (this.#values[index] as WireValue).index, found: bytes });
  }

  onUnreadable(index: number, reason: string): void {
    this.#others.push({ index: (this.#values[index] as WireValue).index, found: reason });
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}

/** The rounds. */
export class MemoryPoller {
  readonly #report: (report: WatchReport) => void;
  readonly #guests = new Map<EndpointId, WatchedGuest>();
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
   * Looks at nothing yet.
   *
   * @param report takes what is found; a batch is counted until the reader has taken it
   */
  constructor(shared: SharedArrayBuffer, rateHz: number, report: (report: WatchReport) => void) {
    this.#shared = new Int32Array(shared);
    this.#periodMs = 1000 / rateHz;
    this.#report = report;
  }

  /** Takes a message; what follows from it is posted. */
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
      this.#nextMs = this.#secondMs = performance.now();
      this.#rounds = 0;
    }
    this.#schedule();
  }

  #open(context: Context): void {
    const { endpoint, epoch } = context;
    try {
      this.#guests.set(endpoint, new WatchedGuest(context));
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

  /** Rounds until a message waits. */
  #run(): void {
    for (;;) {
      if (this.#guests.size === 0 || Atomics.load(this.#shared, SHARED.posted) !== this.#received) {
        return this.#schedule();
      }
      const waitMs = this.#nextMs - performance.now();
      if (waitMs > 0) {
        Atomics.wait(this.#shared, SHARED.posted, this.#received, Math.min(waitMs, LONGEST_WAIT_MS));
        continue;
      }
      this.#round();
      const lateMs = performance.now() - this.#nextMs;
      const skipped = Math.floor(lateMs / this.#periodMs);
      this.#missed.looking += skipped;
      this.#nextMs += (1 + skipped) * this.#periodMs;
      this.#everySecond();
    }
  }

  #round(): void {
    // A reader that takes nothing gets the values as they are when it does.
    if (this.#sent - Atomics.load(this.#shared, SHARED.taken) >= MAX_WAITING_BATCHES) {
      this.#missed.reader++;
      return;
    }
    this.#rounds++;
    const tsNs = monotonicClock.nowNs();
    for (const guest of this.#guests.values()) this.#look(guest, (one) => one.look(tsNs));
  }

  #look(guest: WatchedGuest, how: (guest: WatchedGuest) => WatchReport | undefined): void {
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
    const nowMs = performance.now();
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

function systemIn(memory: PhysicalMemory, { kcr3, guestOs, name }: Context): GuestOs {
  memory.refresh();
  const system = systemOfNumber(guestOs);
  const found = findGuest(memory, findersFor(system?.name ?? "auto"), kcr3 === 0 ? {} : { liveRoot: kcr3 });
  if (found.found) return found.os;
  throw new Fault(
    found.reason === "no-kernel" ? "seam-down" : "not-supported",
    `Cannot watch the memory of ${name}: ${found.reason}: ${found.detail}`,
  );
}
