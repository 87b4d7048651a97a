/**
 * A FIFO of events linked through themselves: pushing and shifting allocate nothing. An event is in one queue
 * at most.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { TransferEvent } from "./transfer_event.ts";

/** A first-in first-out queue of events; it holds one reference to each. */
export class EventQueue {
  #head: TransferEvent | null = null;
  #tail: TransferEvent | null = null;
  #length = 0;

  /** How many wait. */
  get length(): number {
    return this.#length;
  }

  /** The oldest, without taking it. */
  peek(): TransferEvent | null {
    return this.#head;
  }

  /** Appends; takes over the caller's reference. */
  push(event: TransferEvent): void {
    assert(event.next === null && event !== this.#tail, "an event is in one queue at most");
    if (this.#tail === null) this.#head = event;
    else this.#tail.next = event;
    this.#tail = event;
    this.#length++;
  }

  /** Puts one back at the front; takes over the caller's reference. */
  unshift(event: TransferEvent): void {
    assert(event.next === null && event !== this.#tail, "an event is in one queue at most");
    event.next = this.#head;
    this.#head = event;
    if (this.#tail === null) this.#tail = event;
    this.#length++;
  }

  /** Takes the oldest; its reference passes to the caller. */
  shift(): TransferEvent | null {
    const event = this.#head;
    if (event === null) return null;
    this.#head = event.next;
    if (this.#head === null) this.#tail = null;
    event.next = null;
    this.#length--;
    return event;
  }

  /**
   * Takes the oldest that is for everybody (no origin); null when there is none. Linear in how many stand
   * before it.
   */
  takeBroadcast(): TransferEvent | null {
    let previous: TransferEvent | null = null;
    for (let event = this.#head; event !== null; event = event.next) {
      if (event.origin === 0) {
        if (previous === null) this.#head = event.next;
        else previous.next = event.next;
        if (event.next === null) this.#tail = previous;
        event.next = null;
        this.#length--;
        return event;
      }
      previous = event;
    }
    return null;
  }

  /** Whether `pick` is true of one that waits. */
  some(pick: (event: TransferEvent) => boolean): boolean {
    for (let event = this.#head; event !== null; event = event.next) if (pick(event)) return true;
    return false;
  }

  /**
   * Takes every event for which `pick` is true, oldest first, and hands each (with its reference) to `take`.
   */
  extract(pick: (event: TransferEvent) => boolean, take: (event: TransferEvent) => void): number {
    let previous: TransferEvent | null = null;
    let event = this.#head;
    let taken = 0;
    while (event !== null) {
      const next: TransferEvent | null = event.next;
      if (pick(event)) {
        if (previous === null) this.#head = next;
        else previous.next = next;
        if (next === null) this.#tail = previous;
        event.next = null;
        this.#length--;
        taken++;
        take(event);
      } else previous = event;
      event = next;
    }
    return taken;
  }
}
