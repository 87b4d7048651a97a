/**
 * Values in guests' memory as events when they change: `client.watchMemory`. A Worker reads all of them at a
 * fixed rate (memory_poller.ts) from the RAM of each VM's MEMCTX, so that a value that does not change costs
 * neither the daemon nor the guest nor this thread anything.
 *
 * Values found in one boot of a guest end with it ("ended"), and symbols and processes are looked up again in
 * the next one. If the rate cannot be kept, or the consumer is too slow, that is reported ("rate"): rounds
 * are then skipped, and of several changes only the last is reported.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { assert } from "../base/assert.ts";
import { Fault, type FaultCode } from "../base/fault.ts";
import { readU64 } from "../base/layout.ts";
import { MEMCTX } from "../event/body_layout.ts";
import type { ClientEvent } from "./client_event.ts";
import {
  CONTEXT_WAIT_MS,
  type ContextHome,
  LOOK_MS,
  noContext,
  pointless,
  requireMemory,
} from "./context_wait.ts";
import type { EventFilter } from "./event_filter.ts";
import type { EventStream } from "./event_stream.ts";
import { FoundValues } from "./found_values.ts";
import {
  checkWatch,
  type MemoryEvent,
  type MemoryWatchOptions,
  type WatchedValue,
  wireValue,
} from "./memory_event.ts";
import {
  SHARED,
  type WatchBatch,
  type WatchOrder,
  type WatchReport,
  type WireValue,
} from "./memory_watch_messages.ts";
import type { EndpointRef } from "./roster_view.ts";

const DEFAULT_HZ = 10;
const CLOSE_WAIT_MS = 2000;
const END_REASONS = ["reset", "endpoint-gone", "kernel-changed", "map-changed"];

/** What a watch needs of its client. */
export interface MemoryWatchHome extends ContextHome {
  /** An endpoint's number. */
  endpoint(ref: EndpointRef): Promise<EndpointId>;
  /** Opens a stream. */
  events(filter?: EventFilter): EventStream;
}

/** A watch: can be iterated once; leaving the loop, or disposing of it, ends it. */
export class MemoryWatcher implements AsyncIterableIterator<MemoryEvent>, AsyncDisposable {
  readonly #home: MemoryWatchHome;
  readonly #values: ReadonlyMap<EndpointId, readonly WireValue[]>;
  readonly #rateHz: number;
  readonly #shared = new Int32Array(new SharedArrayBuffer(4 * SHARED.words));
  readonly #worker: Worker;
  readonly #contexts: EventStream;
  /** Descriptors that the Worker has not mapped yet, by endpoint and epoch. */
  readonly #lent = new Map<string, readonly OwnedFd[]>();
  /** The watched epoch, by endpoint. */
  readonly #epochs = new Map<EndpointId, number>();
  readonly #found: FoundValues;
  #waiter: PromiseWithResolvers<IteratorResult<MemoryEvent>> | undefined;
  #fault: Fault | undefined;
  #isEnded = false;
  #closing: Promise<void> | undefined;
  readonly #closed = Promise.withResolvers<void>();

  private constructor(
    home: MemoryWatchHome,
    values: ReadonlyMap<EndpointId, readonly WireValue[]>,
    sizes: Uint16Array,
    rateHz: number,
  ) {
    this.#home = home;
    this.#values = values;
    this.#rateHz = rateHz;
    this.#found = new FoundValues(sizes, () => this.#onTaken());
    this.#contexts = home.events({
      kinds: ["MEMCTX", "MEMCTX_INVALIDATED"],
      endpoints: [...values.keys()],
    });
    this.#worker = new Worker(new URL("./memory_watch_worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<WatchReport>) => this.#onReport(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#closed.resolve();
      this.#end(new Fault("seam-down", `Cannot watch memory any longer: ${event.message}`));
    };
    this.#post({ what: "start", shared: this.#shared.buffer, rateHz });
    this.#follow();
  }

  /**
   * Begins a watch; programs call `client.watchMemory`.
   *
   * @throws {Fault} `bad-argument`, `too-large`, `no-endpoint`, `no-capability`, `seam-down`, `not-supported`
   */
  static async start(
    home: MemoryWatchHome,
    values: readonly WatchedValue[],
    options: MemoryWatchOptions,
  ): Promise<MemoryWatcher> {
    const { rateHz = DEFAULT_HZ, signal } = options;
    checkWatch(values, rateHz);
    const numbers = new Map<EndpointRef, EndpointId>();
    const byEndpoint = new Map<EndpointId, WireValue[]>();
    for (const [index, value] of values.entries()) {
      const wire = wireValue(index, value);
      const endpoint = numbers.get(value.endpoint) ?? await home.endpoint(value.endpoint);
      numbers.set(value.endpoint, endpoint);
      const list = byEndpoint.get(endpoint);
      if (list === undefined) byEndpoint.set(endpoint, [wire]);
      else list.push(wire);
    }
    for (const endpoint of byEndpoint.keys()) requireMemory(home, endpoint);
    const watcher = new MemoryWatcher(
      home,
      byEndpoint,
      Uint16Array.from(values, ({ sizeBytes }) => sizeBytes),
      rateHz,
    );
    try {
      await watcher.#begun(signal);
    } catch (error) {
      await watcher.return();
      throw error;
    }
    signal?.addEventListener("abort", () => watcher.end(), { once: true });
    return watcher;
  }

  /** The next event. */
  next(): Promise<IteratorResult<MemoryEvent>> {
    const event = this.#found.next();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#fault !== undefined) {
      const fault = this.#fault;
      this.#fault = undefined;
      return Promise.reject(fault);
    }
    if (this.#isEnded) return Promise.resolve({ done: true, value: undefined });
    if (this.#waiter !== undefined) {
      return Promise.reject(new Fault("busy", "Cannot await two events of one watch at once"));
    }
    this.#waiter = Promise.withResolvers();
    return this.#waiter.promise;
  }

  /** Ends it: the iteration ends after what has been found. */
  end(): void {
    this.#end(undefined);
  }

  /** Ends it at once; called when a loop is left. */
  async return(): Promise<IteratorResult<MemoryEvent>> {
    this.#found.clear();
    this.#fault = undefined;
    this.#end(undefined);
    await (this.#closing ??= this.#close());
    return { done: true, value: undefined };
  }

  /** The watch itself, which can be iterated once. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The same as leaving the loop. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** Waits until each VM has a context, or it is certain that it will not. */
  async #begun(signal: AbortSignal | undefined): Promise<void> {
    const beganMs = performance.now();
    for (const endpoint of this.#values.keys()) {
      while (!this.#epochs.has(endpoint)) {
        const fault = this.#fault ?? pointless(this.#home, endpoint, performance.now() - beganMs);
        if (fault !== undefined) throw fault;
        if (signal?.aborted) throw new Fault("interrupted", "Cannot await the context: interrupted");
        if (performance.now() - beganMs > CONTEXT_WAIT_MS) {
          if (!this.#home.memory.hasContext(endpoint)) throw noContext(this.#home, endpoint);
          throw new Fault(
            "busy",
            `Cannot watch the memory of ${
              this.#home.roster.nameOf(endpoint)
            }: an earlier stream of this client took its context; connect again`,
          );
        }
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
    }
  }

  async #follow(): Promise<void> {
    try {
      for await (const event of this.#contexts) {
        const ended = event.as("MEMCTX_INVALIDATED");
        if (event.kindName === "MEMCTX") this.#onContext(event);
        else if (ended !== undefined) {
          this.#onEnded(event.endpoint, END_REASONS[ended.reason] ?? `reason ${ended.reason}`);
        } else if (event.kindName === "RECONNECTED") {
          for (const endpoint of [...this.#epochs.keys()]) this.#onEnded(endpoint, "reconnected");
        }
      }
      this.#end(
        this.#isEnded ? undefined : new Fault(
          "unreachable",
          "Cannot watch memory any longer: the connection to the daemon has ended",
        ),
      );
    } catch (error) {
      this.#end(
        error instanceof Fault ? error : new Fault("unreachable", `Cannot watch memory any longer: ${error}`),
      );
    }
  }

  #onContext(event: ClientEvent): void {
    const { endpoint, view } = event;
    const values = this.#values.get(endpoint);
    if (values === undefined || this.#isEnded) return;
    const epoch = view.getUint32(MEMCTX.at.epoch, true);
    const fds = event.takeFds();
    this.#lent.set(`${endpoint} ${epoch}`, fds);
    this.#epochs.set(endpoint, epoch);
    this.#post({
      what: "context",
      endpoint,
      epoch,
      name: this.#home.roster.nameOf(endpoint),
      fds: fds.map(({ fd }) => fd),
      body: event.body,
      kcr3: readU64(view, MEMCTX.at.kcr3),
      guestOs: view.getUint32(MEMCTX.at.guestOs, true),
      values,
    });
  }

  #onEnded(endpoint: EndpointId, reason: string): void {
    const epoch = this.#epochs.get(endpoint);
    if (epoch === undefined) return;
    this.#epochs.delete(endpoint);
    this.#post({ what: "end", endpoint });
    this.#give({ what: "ended", endpoint, epoch, reason });
  }

  #onReport(report: WatchReport): void {
    switch (report.what) {
      case "batch":
        return this.#onBatch(report);
      case "opened":
        this.#giveBack(report.endpoint, report.epoch);
        if (this.#epochs.get(report.endpoint) !== report.epoch) return;
        return this.#give({ what: "began", endpoint: report.endpoint, epoch: report.epoch });
      case "failed":
        this.#giveBack(report.endpoint, report.epoch);
        if (this.#epochs.get(report.endpoint) !== report.epoch) return;
        this.#epochs.delete(report.endpoint);
        return this.#give({
          what: "ended",
          endpoint: report.endpoint,
          epoch: report.epoch,
          reason: `${report.code ?? ("seam-down" satisfies FaultCode)}: ${report.text ?? ""}`,
        });
      case "rate": {
        const { reachedHz, missed, because } = report;
        return this.#give({ what: "rate", askedHz: this.#rateHz, reachedHz, missed, because });
      }
      case "closed":
        this.#closed.resolve();
    }
  }

  #onBatch(batch: WatchBatch): void {
    // Values from an epoch that has ended meanwhile are not valid.
    if (this.#isEnded || this.#epochs.get(batch.endpoint) !== batch.epoch) return this.#onTaken();
    this.#found.push(batch);
    this.#serve();
  }

  #give(event: MemoryEvent): void {
    if (this.#isEnded) return;
    this.#found.push(event);
    this.#serve();
  }

  /** Passes the next event to the waiting consumer. */
  #serve(): void {
    const waiter = this.#waiter;
    const value = waiter === undefined ? undefined : this.#found.next();
    if (waiter === undefined || value === undefined) return;
    this.#waiter = undefined;
    waiter.resolve({ done: false, value });
  }

  #onTaken(): void {
    Atomics.add(this.#shared, SHARED.taken, 1);
  }

  #giveBack(endpoint: EndpointId, epoch: number): void {
    const key = `${endpoint} ${epoch}`;
    for (const fd of this.#lent.get(key) ?? []) fd.close();
    this.#lent.delete(key);
  }

  #post(order: WatchOrder): void {
    this.#worker.postMessage(order);
    Atomics.add(this.#shared, SHARED.posted, 1);
    Atomics.notify(this.#shared, SHARED.posted);
  }

  #end(fault: Fault | undefined): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#fault = fault;
    this.#closing = this.#close();
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (waiter === undefined) return;
    this.#fault = undefined;
    if (fault === undefined) waiter.resolve({ done: true, value: undefined });
    else waiter.reject(fault);
  }

  async #close(): Promise<void> {
    assert(this.#isEnded, "a watch is closed once it has ended");
    await this.#contexts.return();
    this.#post({ what: "stop" });
    const timer = setTimeout(() => this.#closed.resolve(), CLOSE_WAIT_MS);
    await this.#closed.promise;
    clearTimeout(timer);
    this.#worker.terminate();
    for (const fds of this.#lent.values()) for (const fd of fds) fd.close();
    this.#lent.clear();
  }
}
