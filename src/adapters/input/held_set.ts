/**
 * The keys and buttons that are down in the guest, in the order in which they were pressed. Bookkeeping only:
 * it sends nothing.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { INPUT_HELD } from "../../event/body_layout.ts";
import { INPUT_HELD_ENTRIES, INPUT_HELD_TRUNC } from "../../event/body_number.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";
import type { InputFrame } from "./input_frame.ts";
import { isTransition } from "./input_step.ts";

const KIND_SHIFT = 16;
const CODE_MASK = 0xffff;
const ENTRY_BYTES = 4;

/** A key or button as one number. */
export function heldEntry(kind: number, code: number): number {
  return kind << KIND_SHIFT | code;
}

/** The kind of an entry: INPUT_KIND.KEY or BTN. */
export function kindOfEntry(entry: number): number {
  return entry >>> KIND_SHIFT;
}

/** The evdev code of an entry. */
export function codeOfEntry(entry: number): number {
  return entry & CODE_MASK;
}

/** A set of keys and buttons. */
export class HeldSet {
  readonly #entries = new Set<number>();

  /** Number of entries. */
  get size(): number {
    return this.#entries.size;
  }

  /** The entries, oldest first. */
  [Symbol.iterator](): Iterator<number> {
    return this.#entries.values();
  }

  /** Whether it is down. */
  has(entry: number): boolean {
    return this.#entries.has(entry);
  }

  /** It is down. */
  add(entry: number): void {
    assert(isTransition(kindOfEntry(entry)), "keys and buttons are held, and nothing else");
    this.#entries.add(entry);
  }

  /** All are up. */
  clear(): void {
    this.#entries.clear();
  }

  /** Applies the records `from` to `to`, which have reached the guest. */
  apply(frame: InputFrame, from: number, to: number): void {
    assert(from <= to && to <= frame.count, "what reached the guest are records of the frame");
    for (let i = from; i < to; i++) {
      if (!isTransition(frame.kinds[i])) continue;
      const entry = heldEntry(frame.kinds[i] ?? 0, frame.codes[i] ?? 0);
      if (frame.values[i] === 1) this.#entries.add(entry);
      else this.#entries.delete(entry);
    }
  }

  /** Fills the body of an INPUT_HELD: the oldest ten, and a flag if there are more. */
  fill(event: TransferEvent): void {
    const { view } = event;
    let at = INPUT_HELD.at.entries;
    let count = 0;
    for (const entry of this.#entries) {
      if (count === INPUT_HELD_ENTRIES) break;
      view.setUint16(at, kindOfEntry(entry), true);
      view.setUint16(at + 2, codeOfEntry(entry), true);
      at += ENTRY_BYTES;
      count++;
    }
    view.setUint32(INPUT_HELD.at.count, count, true);
    view.setUint32(INPUT_HELD.at.flags, this.#entries.size > count ? INPUT_HELD_TRUNC : 0, true);
  }
}
