/**
 * The streams of one client: passes each event to those that want it. Events that arrive before the first
 * stream is opened are kept for it.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { Fault } from "../base/fault.ts";
import type { ClientEvent } from "./client_event.ts";
import type { EventFilter } from "./event_filter.ts";
import { EventStream, type StreamOwner } from "./event_stream.ts";

/** The streams of a client. */
export class StreamSet implements StreamOwner {
  readonly #streams = new Set<EventStream>();
  readonly #onRoom: () => void;
  /** Events that no stream has taken yet; undefined once there was a stream. */
  #backlog: EventStream | undefined;
  #end: { readonly fault: Fault | undefined } | undefined;

  /**
   * Starts without streams, keeping events.
   *
   * @param onRoom called when a stream has room again, or ends
   */
  constructor(onRoom: () => void) {
    this.#onRoom = onRoom;
    this.#backlog = new EventStream(this, {});
    this.#streams.add(this.#backlog);
  }

  /** Whether one of them is so full that reading should stop. */
  get isFull(): boolean {
    for (const stream of this.#streams) if (stream.full) return true;
    return false;
  }

  /** Opens a stream; the first one begins with what was kept. */
  open(filter: EventFilter): EventStream {
    const stream = new EventStream(this, filter);
    const backlog = this.#backlog;
    if (backlog !== undefined) {
      this.#backlog = undefined;
      this.#streams.delete(backlog);
      for (const event of backlog.drain()) {
        if (stream.wants(event)) stream.push(event);
        else event[Symbol.dispose]();
      }
    }
    if (this.#end !== undefined) stream.end(this.#end.fault);
    else this.#streams.add(stream);
    this.#onRoom();
    return stream;
  }

  /** Passes an event to those that want it; they own its descriptors. */
  deliver(event: ClientEvent): void {
    const takers: EventStream[] = [];
    for (const stream of this.#streams) if (stream.wants(event)) takers.push(stream);
    if (takers.length === 0) event[Symbol.dispose]();
    takers.forEach((stream, i) => stream.push(i === takers.length - 1 ? event : event.share()));
  }

  /** Ends all streams, including those opened later. */
  end(fault: Fault | undefined): void {
    assert(this.#end === undefined, "streams end once");
    this.#end = { fault };
    for (const stream of [...this.#streams]) stream.end(fault);
    this.#streams.clear();
  }

  /** Drops events that no stream will take. */
  dropBacklog(): void {
    for (const event of this.#backlog?.drain() ?? []) event[Symbol.dispose]();
  }

  /** See {@linkcode StreamOwner}. */
  onRoom(): void {
    this.#onRoom();
  }

  /** See {@linkcode StreamOwner}. */
  onStreamEnd(stream: EventStream): void {
    this.#streams.delete(stream);
    this.#onRoom();
  }
}
