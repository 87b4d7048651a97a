/**
 * Memory for large bodies of events, used again when the last holder of an event lets go. Of 64 KiB that are
 * allocated, fetching pages for them and collecting them takes five times as long as the copy itself.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { MAX_BODY_BYTES } from "../../base/limits.ts";
import type { PayloadOwner, TransferEvent } from "../../event/transfer_event.ts";

/** Bodies that are kept for later. */
const KEPT = 8;
/** A smaller body is allocated: it is cheap, and would hold a whole place. */
const SMALL_BYTES = 8192;

/** A free list of bodies. Not shared between threads. */
export class BodyPool implements PayloadOwner {
  readonly #free: Uint8Array<ArrayBuffer>[] = [];

  /** How many are kept. */
  get kept(): number {
    return this.#free.length;
  }

  /**
   * Memory for one body, whose bytes are any. The event that it becomes the body of is told this owner
   * (`event.own([], pool)`); memory that becomes no body is left to the collector.
   *
   * @param length at most {@linkcode MAX_BODY_BYTES}
   */
  take(length: number): Uint8Array<ArrayBuffer> {
    assert(length <= MAX_BODY_BYTES, "a body has its bound");
    if (length < SMALL_BYTES) return new Uint8Array(length);
    return (this.#free.pop() ?? new Uint8Array(MAX_BODY_BYTES)).subarray(0, length);
  }

  /** See {@linkcode PayloadOwner}. */
  releasePayload({ body }: TransferEvent): void {
    const { buffer } = body;
    if (buffer.byteLength !== MAX_BODY_BYTES || this.#free.length >= KEPT) return;
    this.#free.push(new Uint8Array(buffer as ArrayBuffer));
  }
}
