/**
 * One consumer's events: a bounded buffer and an async iterator over it.
 *
 * The buffer has two limits. At {@linkcode CLIENT_BUFFER_EVENTS} the stream counts as full and the client
 * stops reading its socket, so that the daemon's rules for a slow control apply: events are queued there, the
 * lowest priority is dropped first, and an OVERRUN says how many. But answers to commands arrive on the same
 * socket, so while one is awaited (or a lease is owned, whose loss must be noticed) the client keeps reading.
 * Up to {@linkcode CLIENT_BUFFER_MAX_EVENTS} the stream accepts more; above that it drops events by the
 * daemon's rules itself and inserts a local OVERRUN.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { CLIENT_BUFFER_EVENTS, CLIENT_BUFFER_MAX_EVENTS } from "../base/limits.ts";
import { KIND } from "../event/kind.ts";
import type { ClientEvent } from "./client_event.ts";
import { EventBacklog } from "./event_backlog.ts";
import { type EventFilter, matcherOf } from "./event_filter.ts";
import { overrunEvent } from "./local_event.ts";

/** The owner of a stream. */
export interface StreamOwner {
  /** The stream has room again. */
  onRoom(): void;
  /** The stream has ended, and receives no more events. */
  onStreamEnd(stream: EventStream): void;
}

/**
 * The events of one consumer. It can be iterated once; leaving the loop ends it. An event's descriptors are
 * closed when the next event is requested, unless they were taken.
 */
export class EventStream implements AsyncIterableIterator<ClientEvent>, AsyncDisposable {
  readonly #owner: StreamOwner;
  readonly #matches: (event: ClientEvent) => boolean;
  readonly #buffer = new EventBacklog();
  #given: ClientEvent | undefined;
  #waiter: PromiseWithResolvers<IteratorResult<ClientEvent>> | undefined;
  #ended = false;
  #fault: Fault | undefined;
  #lost = 0;
  #highestLost = 0;

  /**
   * Made by `Client.events`.
   *
   * @param owner is told about room and the end
   * @param filter which events
   */
  constructor(owner: StreamOwner, filter: EventFilter) {
    this.#owner = owner;
    this.#matches = matcherOf(filter);
  }

  /** Number of buffered events. */
  get buffered(): number {
    return this.#buffer.length;
  }

  /** Whether the client should stop reading because of this stream. */
  get full(): boolean {
    return this.#buffer.length >= CLIENT_BUFFER_EVENTS;
  }

  /**
   * Whether this consumer wants an event. OVERRUN and RECONNECTED pass every filter, because the lost events
   * may be among those that it wants.
   */
  wants(event: ClientEvent): boolean {
    return !this.#ended && (tellsOfLoss(event) || this.#matches(event));
  }

  /** Adds an event, which the stream then owns, with its descriptors. */
  push(event: ClientEvent): void {
    if (this.#ended) {
      event[Symbol.dispose]();
      return;
    }
    if (this.#waiter !== undefined) {
      const waiter = this.#waiter;
      this.#waiter = undefined;
      this.#given = event;
      waiter.resolve({ done: false, value: event });
      return;
    }
    this.#buffer.push(event);
    if (this.#buffer.length > CLIENT_BUFFER_MAX_EVENTS) this.#dropOne();
  }

  /** Ends the stream: after the buffered events, the iteration ends, with a fault if one is given. */
  end(fault?: Fault): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#fault = fault;
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (waiter === undefined) return;
    if (fault === undefined) waiter.resolve({ done: true, value: undefined });
    else waiter.reject(this.#takeFault());
  }

  /** The next event; descriptors of the previous one are closed unless they were taken. */
  next(): Promise<IteratorResult<ClientEvent>> {
    this.#given?.[Symbol.dispose]();
    this.#given = undefined;
    const event = this.#overrun() ?? this.#buffer.shift();
    if (event !== undefined) {
      this.#given = event;
      if (this.#buffer.length === CLIENT_BUFFER_EVENTS - 1) this.#owner.onRoom();
      return Promise.resolve({ done: false, value: event });
    }
    if (this.#fault !== undefined) return Promise.reject(this.#takeFault());
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    if (this.#waiter !== undefined) {
      return Promise.reject(
        new Fault("busy", "Cannot await two events of one stream at once; open a second stream"),
      );
    }
    this.#waiter = Promise.withResolvers();
    return this.#waiter.promise;
  }

  /** Ends the stream and drops its buffered events; called when a loop is left. */
  return(): Promise<IteratorResult<ClientEvent>> {
    this.#given?.[Symbol.dispose]();
    this.#given = undefined;
    for (const event of this.#buffer.drain()) event[Symbol.dispose]();
    this.#fault = undefined;
    this.#lost = 0;
    const wasEnded = this.#ended;
    this.end();
    if (!wasEnded) this.#owner.onStreamEnd(this);
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Takes out all buffered events, with which the first stream starts. */
  drain(): ClientEvent[] {
    return this.#buffer.drain();
  }

  /** The stream itself, which can be iterated once. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The same as leaving the loop. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #takeFault(): Fault {
    const fault = this.#fault as Fault;
    this.#fault = undefined;
    return fault;
  }

  /** Drops the oldest event of the lowest priority; a stream full of URGENT events ends with a fault. */
  #dropOne(): void {
    const dropped = this.#buffer.shiftLowest();
    if (dropped === undefined) {
      this.end(
        new Fault(
          "too-large",
          "Cannot keep the events: too many urgent ones wait; iterate the stream faster",
        ),
      );
      this.#owner.onStreamEnd(this);
      return;
    }
    dropped[Symbol.dispose]();
    this.#lost++;
    this.#highestLost = Math.max(this.#highestLost, dropped.prio);
  }

  #overrun(): ClientEvent | undefined {
    if (this.#lost === 0) return undefined;
    const [lost, highestLost] = [this.#lost, this.#highestLost];
    this.#lost = 0;
    this.#highestLost = 0;
    return overrunEvent(lost, highestLost);
  }
}

function tellsOfLoss({ kind }: ClientEvent): boolean {
  return kind === KIND.OVERRUN || kind === KIND.RECONNECTED;
}
