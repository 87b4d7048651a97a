/**
 * What a memory watch and its Worker say to each other. Batches of changes travel as typed arrays, and are
 * counted: the Worker is so many batches ahead of its reader and no more.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import type { FaultCode } from "../base/fault.ts";

/** Int32 words of the memory that both share. */
export const SHARED = {
  /** Messages that were posted to the Worker, which sleeps until it changes. */
  posted: 0,
  /** Batches that the reader is done with. */
  taken: 1,
  words: 2,
} as const;

/** Batches that may wait for the reader: then rounds are left out, and told as missed. */
export const MAX_WAITING_BATCHES = 64;

/** A value, as the Worker looks it up. */
export interface WireValue {
  /** Its number in the caller's list. */
  readonly index: number;
  /** Whose memory; undefined is the kernel's. */
  readonly pid: number | undefined;
  /** An address, or bytes past a symbol. */
  readonly gva: number;
  /** The symbol. */
  readonly symbol: string | undefined;
  /** How many bytes. */
  readonly sizeBytes: number;
}

/** A guest whose values are to be watched. */
export interface WatchContext {
  /** Which it is. */
  readonly what: "context";
  /** Which VM. */
  readonly endpoint: EndpointId;
  /** In which epoch of it. */
  readonly epoch: number;
  /** For messages. */
  readonly name: string;
  /** Borrowed until it was answered. */
  readonly fds: readonly number[];
  /** Memsegs. */
  readonly body: Uint8Array<ArrayBuffer>;
  /** Guest-physical address of the kernel's root table; 0: not known. */
  readonly kcr3: number;
  /** The system's number (guest/systems.ts). */
  readonly guestOs: number;
  /** What to look at. */
  readonly values: readonly WireValue[];
}

/** To the Worker. */
export type WatchOrder =
  | { readonly what: "start"; readonly shared: SharedArrayBuffer; readonly rateHz: number }
  | WatchContext
  | { readonly what: "end"; readonly endpoint: EndpointId }
  | { readonly what: "stop" };

/** What one round found in one guest. */
export interface WatchBatch {
  /** Which it is. */
  readonly what: "batch";
  /** Which VM. */
  readonly endpoint: EndpointId;
  /** In which epoch of it. */
  readonly epoch: number;
  /** CLOCK_MONOTONIC when the round began, ns. */
  readonly tsNs: number;
  /** Which values, and what they are now. */
  readonly ids: Int32Array<ArrayBuffer>;
  /** The values, unsigned. */
  readonly words: BigUint64Array<ArrayBuffer>;
  /** Longer ones, and those that cannot be read. */
  readonly others: readonly {
    readonly index: number;
    readonly found: Uint8Array<ArrayBuffer> | string;
  }[];
}

/** From the Worker. */
export type WatchReport =
  | WatchBatch
  /** A context is mapped and watched from now on, or could not be; its descriptors are needed no more. */
  | {
    readonly what: "opened" | "failed";
    readonly endpoint: EndpointId;
    readonly epoch: number;
    readonly code?: FaultCode;
    readonly text?: string;
  }
  /** Rounds that were left out since the last report. */
  | {
    readonly what: "rate";
    readonly reachedHz: number;
    readonly missed: number;
    readonly because: "looking" | "reader";
  }
  | { readonly what: "closed" };
