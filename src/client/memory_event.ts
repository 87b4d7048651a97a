/**
 * What is watched in guests' memory, and what a watch tells of it.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import { MAX_WATCH_HZ, MAX_WATCHED_BYTES, MAX_WATCHED_VALUES } from "../base/limits.ts";
import type { WireValue } from "./memory_watch_messages.ts";
import type { EndpointRef } from "./roster_view.ts";

/** A value to watch. */
export interface WatchedValue {
  /** Which VM. */
  readonly endpoint: EndpointRef;
  /** In which process's memory; the kernel's when left out. */
  readonly pid?: number;
  /** Its address, as `src/base/ids.ts` holds it, or a symbol of the kernel's. */
  readonly address: number | string;
  /** Bytes past a symbol. */
  readonly offset?: number;
  /** How many bytes, 1 to 256. Up to 8 that lie within an aligned word are read at once. */
  readonly sizeBytes: number;
}

/** How values are watched. */
export interface MemoryWatchOptions {
  /** How often each is looked at, per second: 10 unless told, 0.1 to 1000. */
  readonly rateHz?: number;
  /** Ends the watch. */
  readonly signal?: AbortSignal;
}

/** What a watch tells. `index` is the value's in the list that was given. */
export type MemoryEvent =
  | {
    /** A value: the first in an epoch (`isFirst`), and each other one. */
    readonly what: "value";
    readonly index: number;
    readonly endpoint: EndpointId;
    readonly epoch: number;
    /** CLOCK_MONOTONIC of the look, ns. */
    readonly tsNs: number;
    readonly isFirst: boolean;
    /** Its bytes as they lie in memory. */
    readonly bytes: Uint8Array<ArrayBuffer>;
    /** The same as a little-endian unsigned number, of up to 8 bytes. */
    readonly value: bigint | undefined;
  }
  | {
    /** It cannot be read (any more); it is told again when it can. */
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
    /** What was asked for. */
    readonly askedHz: number;
    /** What was reached since the last report, or in the last second. */
    readonly reachedHz: number;
    /** Rounds that were left out. */
    readonly missed: number;
    /** Whether looking took too long, or the reader of these events. */
    readonly because: "looking" | "reader";
  };

/**
 * Looks whether values can be watched at a rate.
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
 * A value as it is looked up.
 *
 * @param index its place in the caller's list
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
