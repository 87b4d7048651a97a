/**
 * The queue of what a memory watch has found: batches of values, which become events one by one when they are
 * taken, and other events in between.
 * @module
 */
import type { MemoryEvent } from "./memory_event.ts";
import type { WatchBatch } from "./memory_watch_messages.ts";

/** A queue of batches and events. */
export class FoundValues {
  readonly #sizes: Uint16Array;
  readonly #onTaken: () => void;
  readonly #queue: (WatchBatch | MemoryEvent)[] = [];
  /** The epoch in which each value was last reported. */
  readonly #toldIn: Int32Array;
  #at = 0;

  /**
   * An empty queue.
   *
   * @param sizes bytes of each value
   * @param onTaken called for each batch that was taken completely
   */
  constructor(sizes: Uint16Array, onTaken: () => void) {
    this.#sizes = sizes;
    this.#onTaken = onTaken;
    this.#toldIn = new Int32Array(sizes.length).fill(-1);
  }

  /** Adds a batch or an event. Consecutive reports of the rate are merged. */
  push(item: WatchBatch | MemoryEvent): void {
    const last = this.#queue[this.#queue.length - 1];
    if (item.what === "rate" && last?.what === "rate" && last.because === item.because) {
      this.#queue[this.#queue.length - 1] = { ...item, missed: last.missed + item.missed };
    } else this.#queue.push(item);
  }

  /** The next event. */
  next(): MemoryEvent | undefined {
    for (;;) {
      const item = this.#queue[0];
      if (item === undefined) return undefined;
      if (item.what !== "batch") {
        this.#queue.shift();
        return item;
      }
      const at = this.#at++;
      if (at < item.ids.length) return this.#wordEvent(item, at);
      const other = item.others[at - item.ids.length];
      if (other !== undefined) return this.#otherEvent(item, other);
      this.#queue.shift();
      this.#at = 0;
      this.#onTaken();
    }
  }

  /** Drops everything. */
  clear(): void {
    this.#queue.length = 0;
    this.#at = 0;
  }

  #wordEvent(batch: WatchBatch, at: number): MemoryEvent {
    const index = batch.ids[at] as number;
    const value = batch.words[at] as bigint;
    const bytes = new Uint8Array(new BigUint64Array([value]).buffer, 0, this.#sizes[index] as number);
    return this.#valueEvent(batch, index, bytes, value);
  }

  #otherEvent(batch: WatchBatch, { index, found }: WatchBatch["others"][number]): MemoryEvent {
    const { endpoint, epoch, tsNs } = batch;
    if (typeof found === "string") return { what: "unreadable", index, endpoint, epoch, tsNs, reason: found };
    let value: bigint | undefined;
    if (found.length <= 8) {
      value = 0n;
      for (let i = found.length - 1; i >= 0; i--) value = value << 8n | BigInt(found[i] as number);
    }
    return this.#valueEvent(batch, index, found, value);
  }

  #valueEvent(
    { endpoint, epoch, tsNs }: WatchBatch,
    index: number,
    bytes: Uint8Array<ArrayBuffer>,
    value: bigint | undefined,
  ): MemoryEvent {
    const isFirst = this.#toldIn[index] !== epoch;
    this.#toldIn[index] = epoch;
    return { what: "value", index, endpoint, epoch, tsNs, isFirst, bytes, value };
  }
}
