/**
 * Events queued for one consumer, in order of arrival, with the daemon's rule for overload: the oldest event
 * of the lowest priority is dropped first. Each priority has its own queue and each event a sequence number,
 * so that taking the next event and dropping one cost the same whatever the length: an overloaded consumer
 * drops one event for each that arrives.
 * @module
 */
import { assert } from "../base/assert.ts";
import { PRIO, PRIO_COUNT } from "../event/priority.ts";
import type { ClientEvent } from "./client_event.ts";

/** Taken entries are removed from a queue's array when there are this many and they are half of it. */
const CUT_AT = 64;

/** A FIFO whose entries have a position among those of all queues. */
class Queue {
  #events: (ClientEvent | undefined)[] = [];
  #places: number[] = [];
  #taken = 0;

  /** The position of the oldest entry; Infinity when empty. */
  get firstPlace(): number {
    return this.#places[this.#taken] ?? Infinity;
  }

  push(event: ClientEvent, place: number): void {
    this.#events.push(event);
    this.#places.push(place);
  }

  shift(): ClientEvent {
    const event = this.#events[this.#taken];
    assert(event !== undefined, "only a queue that has an entry gives one");
    this.#events[this.#taken++] = undefined;
    if (this.#taken >= CUT_AT && this.#taken * 2 >= this.#events.length) {
      this.#events = this.#events.slice(this.#taken);
      this.#places = this.#places.slice(this.#taken);
      this.#taken = 0;
    }
    return event;
  }
}

/** The events. */
export class EventBacklog {
  readonly #queues: readonly Queue[] = Array.from({ length: PRIO_COUNT }, () => new Queue());
  #length = 0;
  #nextPlace = 0;

  /** Number of queued events. */
  get length(): number {
    return this.#length;
  }

  /** Adds one behind all others. */
  push(event: ClientEvent): void {
    const queue = this.#queues[event.prio];
    assert(queue !== undefined, "an event's priority is one of the protocol's");
    queue.push(event, this.#nextPlace++);
    this.#length++;
  }

  /** Takes out the event that arrived first; undefined when empty. */
  shift(): ClientEvent | undefined {
    let first = this.#queues[0] as Queue;
    for (const queue of this.#queues) if (queue.firstPlace < first.firstPlace) first = queue;
    return first.firstPlace === Infinity ? undefined : this.#take(first);
  }

  /** Takes out the oldest event of the lowest priority; undefined when all are URGENT, or there is none. */
  shiftLowest(): ClientEvent | undefined {
    const lowest = this.#queues.findIndex(({ firstPlace }) => firstPlace !== Infinity);
    return lowest < 0 || lowest === PRIO.URGENT ? undefined : this.#take(this.#queues[lowest] as Queue);
  }

  /** Takes out all events, in order. */
  drain(): ClientEvent[] {
    const all: ClientEvent[] = [];
    for (let event = this.shift(); event !== undefined; event = this.shift()) all.push(event);
    return all;
  }

  #take(queue: Queue): ClientEvent {
    this.#length--;
    return queue.shift();
  }
}
