/**
 * One consumer's events: a bounded buffer and an async iterator over it.
 *
 * The bound has two steps. At {@linkcode CLIENT_BUFFER_EVENTS} the stream counts as full and the client stops
 * reading its socket, so that the daemon's rules for a slow control apply to it: events wait there, the
 * lowest priority goes first, an OVERRUN tells how many. But an answer that a command awaits arrives on the
 * same socket, so while one is awaited (or a lease is owned, whose loss must be told) the client reads on; up
 * to {@linkcode CLIENT_BUFFER_MAX_EVENTS} the stream takes more, and past that it drops by the daemon's rules
 * itself and puts a local OVERRUN first.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { CLIENT_BUFFER_EVENTS, CLIENT_BUFFER_MAX_EVENTS } from "../base/limits.ts";
import { KIND } from "../event/kind.ts";
import type { ClientEvent } from "./client_event.ts";
import { EventBacklog } from "./event_backlog.ts";
import { type EventFilter, matcherOf } from "./event_filter.ts";
import { overrunEvent } from "./local_event.ts";

/** What a stream tells its client. */
export interface StreamOwner {
  /** The stream has room again. */
  onRoom(): void;
  /** The stream has ended: nothing is pushed to it any more. */
  onStreamEnd(stream: EventStream): void;
}

/**
 * The events of one consumer. Iterate it once; leaving the loop ends it. An event's descriptors are closed
 * when the next event is asked for, unless they were taken.
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
   * @param owner who is told about room and end
   * @param filter which events
   */
  constructor(owner: StreamOwner, filter: EventFilter) {
    this.#owner = owner;
    this.#matches = matcherOf(filter);
  }

  /** Events that wait. */
  get buffered(): number {
    return this.#buffer.length;
  }

  /** Whether the client should stop reading for this stream's sake. */
  get full(): boolean {
    return this.#buffer.length >= CLIENT_BUFFER_EVENTS;
  }

  /**
   * Whether this consumer wants an event. OVERRUN and RECONNECTED pass every filter: what was lost may have
   * been what it waits for.
   */
  wants(event: ClientEvent): boolean {
    return !this.#ended && (tellsOfLoss(event) || this.#matches(event));
  }

  /** Gives it an event; descriptors included, it is the stream's. */
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

  /** Ends it: after what is buffered, the iteration ends, with a fault if there is one. */
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

  /** The next event; descriptors of the one before are closed unless they were taken. */
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

  /** Ends the stream and lets go of what it buffered; what a loop does when it is left. */
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

  /** Everything that waits, taken out: how the first stream takes over what came before it. */
  drain(): ClientEvent[] {
    return this.#buffer.drain();
  }

  /** Itself: a stream is iterated once. */
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

  /** Drops the lowest priority, oldest first; a stream full of URGENT alone ends with a fault. */
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
