/**
 * The keys and buttons that are down in the guest, and their record for the next daemon: the set follows the
 * guest's acknowledgements; the record is written before a key is sent.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { Log } from "../../base/log.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";
import { hasEnded } from "../../ram/process_end.ts";
import { decodeHeldRecord, encodeHeldRecord, type HeldStore, MAX_HELD_RECORD_BYTES } from "./held_record.ts";
import { heldEntry, HeldSet } from "./held_set.ts";
import type { InputFrame } from "./input_frame.ts";
import { isTransition } from "./input_step.ts";

/** The held set and its record. */
export class HeldLedger {
  readonly #held = new HeldSet();
  /** The entries in the record. */
  readonly #recorded = new Set<number>();
  readonly #store: HeldStore | undefined;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #pid = 0;

  /**
   * Starts with nothing down.
   *
   * @param store where the record is kept; undefined to keep none
   */
  constructor(store?: HeldStore) {
    this.#store = store;
    this.#bytes = new Uint8Array(store === undefined ? 0 : MAX_HELD_RECORD_BYTES);
  }

  /** Number of keys and buttons that are down. */
  get size(): number {
    return this.#held.size;
  }

  /** The entries that are down, oldest first. */
  [Symbol.iterator](): Iterator<number> {
    return this.#held[Symbol.iterator]();
  }

  /** Takes over the record of the previous daemon. */
  load(log: Log): void {
    const bytes = this.#store?.load();
    if (bytes === undefined || bytes.length === 0) return;
    assert(this.#held.size === 0, "the record is loaded before anything is pressed");
    const record = decodeHeldRecord(bytes);
    if (record === undefined) {
      log.warn("the record of held keys is damaged and not used");
      return;
    }
    this.#pid = record.pid;
    for (const entry of record.entries) {
      this.#held.add(entry);
      this.#recorded.add(entry);
    }
    if (record.entries.length > 0) {
      log.info("the previous daemon left keys pressed", { count: record.entries.length, pid: record.pid });
    }
  }

  /**
   * The process that runs the guest: keys held in another process are gone with it. A pid of 0 is unknown and
   * changes nothing.
   */
  attach(pid: number): void {
    const known = this.#pid;
    this.#pid = pid;
    if (pid === known || pid === 0 || known === 0) return;
    this.#held.clear();
    this.note();
  }

  /** Called before input is sent: adds the keys that it presses to the record. */
  expect(frame: InputFrame, from: number, to: number): void {
    if (this.#store === undefined) return;
    let fresh = false;
    for (let i = from; i < to; i++) {
      if (!isTransition(frame.kinds[i]) || frame.values[i] !== 1) continue;
      const entry = heldEntry(frame.kinds[i] ?? 0, frame.codes[i] ?? 0);
      if (this.#recorded.has(entry)) continue;
      this.#recorded.add(entry);
      fresh = true;
    }
    if (fresh) this.#save();
  }

  /** Input has reached the guest. */
  apply(frame: InputFrame, from: number, to: number): void {
    this.#held.apply(frame, from, to);
  }

  /**
   * Input may have reached the guest: keys that it presses count as down, and so do those that it releases.
   */
  suspect(frame: InputFrame, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      if (isTransition(frame.kinds[i]) && frame.values[i] === 1) {
        this.#held.add(heldEntry(frame.kinds[i] ?? 0, frame.codes[i] ?? 0));
      }
    }
  }

  /** No input is under way: the record is reduced to what is down. */
  note(): void {
    if (this.#store === undefined) return;
    let same = this.#recorded.size === this.#held.size;
    for (const entry of this.#held) same &&= this.#recorded.has(entry);
    if (same) return;
    this.#recorded.clear();
    for (const entry of this.#held) this.#recorded.add(entry);
    this.#save();
  }

  /** Fills the body of an INPUT_HELD. */
  fill(event: TransferEvent): void {
    this.#held.fill(event);
  }

  /** Ends it. The record is kept only if keys are down in a guest that still runs. */
  close(): void {
    this.#store?.close(this.#held.size > 0 && !hasEnded(this.#pid));
  }

  #save(): void {
    assert(this.#store !== undefined, "a record is saved where there is a store");
    const length = encodeHeldRecord(this.#bytes, this.#pid, this.#recorded);
    this.#store.save(this.#bytes, length);
  }
}
