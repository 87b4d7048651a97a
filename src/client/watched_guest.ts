/**
 * The values of one guest in a memory watch: existing ones are read in each round; processes that do not
 * exist yet, or have ended, are looked for in between.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { OwnedFd } from "../../ffi/owned_fd.ts";
import { Fault } from "../base/fault.ts";
import { findersFor } from "../guest/finders.ts";
import { findGuest } from "../guest/find_guest.ts";
import type { GuestOs } from "../guest/guest_os.ts";
import { MemoryWatch, type Place, type WatchSink } from "../guest/memory_watch.ts";
import type { PhysicalMemory } from "../guest/physical_memory.ts";
import { systemOfNumber } from "../guest/systems.ts";
import { openMemsegs } from "../ram/memseg_ram.ts";
import type { WatchBatch, WatchContext, WireValue } from "./memory_watch_messages.ts";

/** One guest's values. */
export class WatchedGuest implements WatchSink, Disposable {
  /** The VM. */
  readonly endpoint: EndpointId;
  /** Its epoch. */
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

  /**
   * Maps the guest's RAM, and looks for its system and the values.
   *
   * @param context the guest's context; its descriptors are borrowed
   * @throws {Fault} `seam-down`, `not-supported`, `refused`: nothing can be watched there
   */
  constructor(context: WatchContext) {
    this.endpoint = context.endpoint;
    this.epoch = context.epoch;
    this.#absent = [...context.values];
    this.#ids = new Int32Array(context.values.length);
    this.#words = new BigUint64Array(context.values.length);
    // Borrowed: their sender closes them.
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

  /** Looks for the processes that did not exist or have ended; those found are then watched. */
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
      // A symbol that the kernel lacks will not appear.
      return reason === "no-process";
    });
    if (found.length === 0) return;
    this.#groups = this.#groups.filter(({ watch, values }) => watch.gone().length < values.length);
    this.#groups.push({ watch: new MemoryWatch(this.#os, places), values: found });
  }

  /** Runs one round; returns the changes, or undefined if there are none. */
  look(tsNs: number): WatchBatch | undefined {
    for (const { watch, values } of this.#groups) {
      this.#values = values;
      watch.look(this);
    }
    if (this.#count === 0 && this.#others.length === 0) return undefined;
    const batch: WatchBatch = {
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

  /** Unmaps the memory. */
  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}

function systemIn(memory: PhysicalMemory, { kcr3, guestOs, name }: WatchContext): GuestOs {
  memory.refresh();
  const system = systemOfNumber(guestOs);
  const found = findGuest(memory, findersFor(system?.name ?? "auto"), kcr3 === 0 ? {} : { liveRoot: kcr3 });
  if (found.found) return found.os;
  throw new Fault(
    found.reason === "no-kernel" ? "seam-down" : "not-supported",
    `Cannot watch the memory of ${name}: ${found.reason}: ${found.detail}`,
  );
}
