/**
 * The values in guests' memory that can be watched, and the events of a watch.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import { MAX_WATCH_HZ, MAX_WATCHED_BYTES, MAX_WATCHED_VALUES } from "../base/limits.ts";
import type { WireValue } from "./memory_watch_messages.ts";
import type { EndpointRef } from "./roster_view.ts";

/** A value to watch. */
export interface WatchedValue {
  /** The VM. */
  readonly endpoint: EndpointRef;
  /** The process whose memory contains it; omitted: the kernel's memory. */
  readonly pid?: number;
  /** Its address, as in `src/base/ids.ts`, or the name of a kernel symbol. */
  readonly address: number | string;
  /** Offset from the symbol, bytes. */
  readonly offset?: number;
  /** Size, 1 to 256 bytes. Up to 8 bytes within an aligned word are read atomically. */
  readonly sizeBytes: number;
}

/** Options of a watch. */
export interface MemoryWatchOptions {
  /** Rate at which each value is read, per second: 0.1 to 1000, by default 10. */
  readonly rateHz?: number;
  /** Ends the watch. */
  readonly signal?: AbortSignal;
}

/** An event of a watch. `index` is the value's index in the list that was given. */
export type MemoryEvent =
  | {
    /** A value: the first one of an epoch (`isFirst`), and each change. */
    readonly what: "value";
    readonly index: number;
    readonly endpoint: EndpointId;
    readonly epoch: number;
    /** CLOCK_MONOTONIC of the read, ns. */
    readonly tsNs: number;
    readonly isFirst: boolean;
    /** Its bytes as they lie in memory. */
    readonly bytes: Uint8Array<ArrayBuffer>;
    /** The bytes as a little-endian unsigned number, for up to 8 bytes. */
    readonly value: bigint | undefined;
  }
  | {
    /** The value cannot be read, or no longer; if that changes, a value event follows. */
    readonly what: "unreadable";
    readonly index: number;
    readonly endpoint: EndpointId;
    readonly epoch: number;
    readonly tsNs: number;
    /** "not-present", "out-of-ram", "no-symbol", "no-process", "process-ended", … */
    readonly reason: string;
  }
  | { readonly what: "began"; readonly endpoint: EndpointId; readonly epoch: number }
  | {
    readonly what: "ended";
    readonly endpoint: EndpointId;
    readonly epoch: number;
    /** "reset", "endpoint-gone", "kernel-changed", "map-changed"; or why its memory cannot be watched. */
    readonly reason: string;
  }
  | {
    readonly what: "rate";
    /** The requested rate. */
    readonly askedHz: number;
    /** The rate reached since the last report, or in the last second. */
    readonly reachedHz: number;
    /** Rounds that were skipped. */
    readonly missed: number;
    /** Whether reading took too long, or the consumer of these events. */
    readonly because: "looking" | "reader";
  };

/**
 * Checks whether values can be watched at a rate.
 *
 * @throws {Fault} `bad-argument`, `too-large`
 */
export function checkWatch(values: readonly WatchedValue[], rateHz: number): void {
  if (!(rateHz >= 0.1 && rateHz <= MAX_WATCH_HZ)) {
    throw new Fault("bad-argument", `Cannot watch memory ${rateHz} times per second: 0.1 to ${MAX_WATCH_HZ}`);
  }
  if (values.length === 0) {
    throw new Fault("bad-argument", "Cannot watch memory: there are no values to watch");
  }
  if (values.length > MAX_WATCHED_VALUES) {
    throw new Fault("too-large", `Cannot watch ${values.length} values: at most ${MAX_WATCHED_VALUES}`);
  }
}

/**
 * A value in the form in which it is looked up.
 *
 * @param index its index in the caller's list
 * @throws {Fault} `bad-argument`
 */
export function wireValue(index: number, { address, offset = 0, pid, sizeBytes }: WatchedValue): WireValue {
  if (!(Number.isInteger(sizeBytes) && sizeBytes >= 1 && sizeBytes <= MAX_WATCHED_BYTES)) {
    throw new Fault(
      "bad-argument",
      `Cannot watch value ${index}: ${sizeBytes} is not a valid size: 1 to ${MAX_WATCHED_BYTES} bytes`,
    );
  }
  if (pid !== undefined && !(Number.isInteger(pid) && pid > 0 && pid < 2 ** 31)) {
    throw new Fault("bad-argument", `Cannot watch value ${index}: ${pid} is not a valid process number`);
  }
  if (typeof address === "string") return { index, pid, gva: offset, symbol: address, sizeBytes };
  if (!Number.isFinite(address)) {
    throw new Fault("bad-argument", `Cannot watch value ${index}: ${address} is not a valid address`);
  }
  return { index, pid, gva: address + offset, symbol: undefined, sizeBytes };
}
