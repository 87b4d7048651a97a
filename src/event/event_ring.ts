/**
 * A FIFO of references to events, in a circular array that grows as needed and never shrinks: an event that
 * goes to many receivers waits in a ring of each of them (it can be linked through itself only once).
 * Allocates when it grows, never in the steady state.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { TransferEvent } from "./transfer_event.ts";

const FIRST_CAPACITY = 8;

/** A growing ring of events; it holds one reference to each. */
export class EventRing {
  #slots: (TransferEvent | null)[] = [];
  #head = 0;
  #length = 0;

  /** How many wait. */
  get length(): number {
    return this.#length;
  }

  /** The i-th oldest. */
  at(i: number): TransferEvent {
    assert(i < this.#length, "a ring is read within its length");
    return this.#slots[(this.#head + i) & (this.#slots.length - 1)] as TransferEvent;
  }

  /** Appends; takes over the caller's reference. */
  push(event: TransferEvent): void {
    if (this.#length === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = event;
    this.#length++;
  }

  /** Puts one in front; takes over the caller's reference. */
  unshift(event: TransferEvent): void {
    if (this.#length === this.#slots.length) this.#grow();
    this.#head = (this.#head - 1) & (this.#slots.length - 1);
    this.#slots[this.#head] = event;
    this.#length++;
  }

  /** Takes the oldest; its reference passes to the caller. */
  shift(): TransferEvent {
    assert(this.#length > 0, "something waits");
    const event = this.#slots[this.#head] as TransferEvent;
    this.#slots[this.#head] = null;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#length--;
    return event;
  }

  /** Takes the i-th oldest out of the middle; its reference passes to the caller. Linear in i. */
  take(i: number): TransferEvent {
    const event = this.at(i);
    const mask = this.#slots.length - 1;
    for (let k = i; k > 0; k--) {
      this.#slots[(this.#head + k) & mask] = this.#slots[(this.#head + k - 1) & mask] as TransferEvent;
    }
    this.#slots[this.#head] = null;
    this.#head = (this.#head + 1) & mask;
    this.#length--;
    return event;
  }

  #grow(): void {
    const grown: (TransferEvent | null)[] = new Array(
      Math.max(FIRST_CAPACITY, 2 * this.#slots.length),
    ).fill(null);
    for (let i = 0; i < this.#length; i++) grown[i] = this.at(i);
    this.#slots = grown;
    this.#head = 0;
  }
}
