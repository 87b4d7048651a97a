/**
 * Messages between a memory watch and its Worker. Batches of changes are typed arrays, and counted: the
 * Worker may be only a limited number of batches ahead of the consumer.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import type { FaultCode } from "../base/fault.ts";

/** Int32 words in the memory that both share. */
export const SHARED = {
  /** Number of messages posted to the Worker, which sleeps until it changes. */
  posted: 0,
  /** Number of batches that the consumer has processed. */
  taken: 1,
  words: 2,
} as const;

/** Batches that may be queued for the consumer; above that, rounds are skipped and reported as missed. */
export const MAX_WAITING_BATCHES = 64;

/** A value in the form in which the Worker looks it up. */
export interface WireValue {
  /** Its index in the caller's list. */
  readonly index: number;
  /** The process; undefined is the kernel. */
  readonly pid: number | undefined;
  /** The address, or the offset from the symbol. */
  readonly gva: number;
  /** The symbol. */
  readonly symbol: string | undefined;
  /** Size, bytes. */
  readonly sizeBytes: number;
}

/** A guest with values to watch. */
export interface WatchContext {
  /** Its id within the watch. */
  readonly what: "context";
  /** The VM. */
  readonly endpoint: EndpointId;
  /** Its epoch. */
  readonly epoch: number;
  /** Its name in messages. */
  readonly name: string;
  /** Descriptors, borrowed until the answer. */
  readonly fds: readonly number[];
  /** The memsegs. */
  readonly body: Uint8Array<ArrayBuffer>;
  /** Guest-physical address of the kernel's root table; 0: unknown. */
  readonly kcr3: number;
  /** The system's number (guest/systems.ts). */
  readonly guestOs: number;
  /** The values. */
  readonly values: readonly WireValue[];
}

/** A message to the Worker. */
export type WatchOrder =
  | { readonly what: "start"; readonly shared: SharedArrayBuffer; readonly rateHz: number }
  | WatchContext
  | { readonly what: "end"; readonly endpoint: EndpointId }
  | { readonly what: "stop" };

/** The results of one round in one guest. */
export interface WatchBatch {
  /** The guest's id within the watch. */
  readonly what: "batch";
  /** The VM. */
  readonly endpoint: EndpointId;
  /** Its epoch. */
  readonly epoch: number;
  /** CLOCK_MONOTONIC when the round began, ns. */
  readonly tsNs: number;
  /** The indices of the values that changed. */
  readonly ids: Int32Array<ArrayBuffer>;
  /** Their contents, unsigned. */
  readonly words: BigUint64Array<ArrayBuffer>;
  /** Longer values, and those that cannot be read. */
  readonly others: readonly {
    readonly index: number;
    readonly found: Uint8Array<ArrayBuffer> | string;
  }[];
}

/** A message from the Worker. */
export type WatchReport =
  | WatchBatch
  /**
   * A context has been mapped and is watched, or could not be mapped; its descriptors are no longer needed.
   */
  | {
    readonly what: "opened" | "failed";
    readonly endpoint: EndpointId;
    readonly epoch: number;
    readonly code?: FaultCode;
    readonly text?: string;
  }
  /** Rounds skipped since the last report. */
  | {
    readonly what: "rate";
    readonly reachedHz: number;
    readonly missed: number;
    readonly because: "looking" | "reader";
  }
  | { readonly what: "closed" };
