/**
 * The queue of messages to the server, bounded in number and bytes. When it is full, the oldest message of
 * the lowest priority is dropped, so urgent ones are dropped last; an OVERRUN says how many were lost.
 * Messages are sent in order of arrival.
 *
 * The library accepts everything and buffers it until the server has it. So only a limited window of bytes is
 * sent before the server has confirmed the previous ones. While half of the places are taken and the server
 * is connected, the producer is asked to pause, which makes the daemon's own queue fill.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { PRIO, type Prio, PRIO_COUNT } from "../../event/priority.ts";
import { overrunFrame } from "../wire/made_frames.ts";
import type { NatsLink } from "../wire/nats_link.ts";
import type { JoinCounts } from "./counts.ts";
import type { Outlet } from "./event_numbers.ts";

/** Maximum number of queued messages. */
export const MOST_WAITING = 8192;
/** Maximum size of queued messages, bytes. */
const MOST_WAITING_BYTES = 16 * 1024 * 1024;
/** Maximum number of unconfirmed bytes. */
const WINDOW_BYTES = 4 * 1024 * 1024;
const MESSAGE_BYTES = 128;

interface Waiting {
  readonly outlet: Outlet;
  readonly bytes: Uint8Array;
  readonly prio: Prio;
  isDropped: boolean;
}

/** A FIFO that does not move its entries at each step. */
class Fifo {
  #items: Waiting[] = [];
  #next = 0;

  get length(): number {
    return this.#items.length - this.#next;
  }

  push(item: Waiting): void {
    this.#items.push(item);
  }

  take(): Waiting | undefined {
    const item = this.#items[this.#next];
    if (item === undefined) return undefined;
    this.#next++;
    if (this.#next > MOST_WAITING) this.keep(() => true);
    return item;
  }

  keep(isKept: (item: Waiting) => boolean): void {
    this.#items = this.#items.slice(this.#next).filter(isKept);
    this.#next = 0;
  }

  clear(): void {
    this.#items = [];
    this.#next = 0;
  }
}

/** The queue of messages to the server. */
export class OutQueue {
  readonly #link: NatsLink;
  readonly #counts: JoinCounts;
  readonly #overruns: Outlet;
  readonly #onRoom: () => void;
  readonly #waiting = new Fifo();
  readonly #byPrio: Fifo[] = Array.from({ length: PRIO_COUNT }, () => new Fifo());
  #count = 0;
  #bytes = 0;
  #out = 0;
  #isConfirming = false;
  #lost = 0;
  #highestLost: Prio = PRIO.BULK;
  #isHeld = false;

  /**
   * An empty one.
   *
   * @param overruns the subject for reports of lost events
   * @param onRoom called when a paused producer may continue
   */
  constructor(link: NatsLink, overruns: Outlet, counts: JoinCounts, onRoom: () => void = () => {}) {
    this.#link = link;
    this.#overruns = overruns;
    this.#counts = counts;
    this.#onRoom = onRoom;
    link.listen({ onUp: () => this.#onUp(), onDown: () => this.#onDown() });
  }

  /** Number of queued messages. */
  get waiting(): number {
    return this.#count;
  }

  /**
   * Whether there is room; if not, `onRoom` of the constructor is called when there is. While the server is
   * away there always is: then the newest are kept here, and the daemon's queue keeps its own.
   */
  get hasRoom(): boolean {
    this.#isHeld = this.#link.isUp &&
      (this.#count >= MOST_WAITING / 2 || this.#bytes >= MOST_WAITING_BYTES / 2);
    return !this.#isHeld;
  }

  /**
   * Sends a frame, or queues a copy of it.
   *
   * @param all the buffer; the frame's number is written into it
   * @param at the frame's offset
   * @param length the frame's length
   */
  push(outlet: Outlet, all: Uint8Array, at: number, length: number, prio: Prio): void {
    assert(prio < PRIO_COUNT, "a message has a priority");
    if (this.#count === 0 && this.#lost === 0 && this.#mayGo()) return this.#send(outlet, all, at, length);
    const bytes = new Uint8Array(all.subarray(at, at + length));
    const waiting = { outlet, bytes, prio, isDropped: false };
    this.#waiting.push(waiting);
    this.#byPrio[prio]?.push(waiting);
    this.#count++;
    this.#bytes += bytes.length;
    while (this.#count > MOST_WAITING || this.#bytes > MOST_WAITING_BYTES) this.#drop();
    this.#pump();
  }

  #mayGo(): boolean {
    return this.#link.isUp && this.#out < WINDOW_BYTES;
  }

  #send(outlet: Outlet, bytes: Uint8Array, at: number, length: number): void {
    outlet.stamp(bytes, at);
    this.#link.post(outlet.head, bytes, at, length);
    this.#counts.published++;
    this.#out += length + MESSAGE_BYTES;
    if (this.#out >= WINDOW_BYTES / 2 && !this.#isConfirming) void this.#confirm();
  }

  /** Asks the server to confirm what was sent; then another window may be sent. */
  async #confirm(): Promise<void> {
    this.#isConfirming = true;
    const out = this.#out;
    const isConfirmed = await this.#link.flush();
    this.#isConfirming = false;
    if (!isConfirmed) return;
    this.#out -= Math.min(out, this.#out);
    this.#pump();
    if (this.#out >= WINDOW_BYTES / 2 && !this.#isConfirming) void this.#confirm();
  }

  #pump(): void {
    if (this.#lost > 0 && this.#mayGo()) {
      const told = overrunFrame(this.#lost, this.#highestLost);
      this.#send(this.#overruns, told, 0, told.length);
      this.#lost = 0;
      this.#highestLost = PRIO.BULK;
    }
    while (this.#count > 0 && this.#mayGo()) {
      const first = this.#waiting.take();
      assert(first !== undefined, "what is counted waits");
      if (first.isDropped) continue;
      first.isDropped = true;
      this.#count--;
      this.#bytes -= first.bytes.length;
      this.#send(first.outlet, first.bytes, 0, first.bytes.length);
    }
    if (this.#count === 0) {
      this.#waiting.clear();
      for (const queue of this.#byPrio) queue.clear();
    }
    this.#tellRoom();
  }

  #tellRoom(): void {
    if (!this.#isHeld || !this.hasRoom) return;
    assert(!this.#isHeld, "who is told that there is room is not held");
    this.#onRoom();
  }

  /** Drops the oldest message of the lowest priority. */
  #drop(): void {
    for (let prio = 0; prio < PRIO_COUNT; prio++) {
      const queue = this.#byPrio[prio] as Fifo;
      let victim = queue.take();
      while (victim?.isDropped === true) victim = queue.take();
      if (victim === undefined) continue;
      victim.isDropped = true;
      this.#count--;
      this.#bytes -= victim.bytes.length;
      this.#lost++;
      this.#counts.dropped++;
      this.#highestLost = Math.max(this.#highestLost, prio) as Prio;
      // Dropped entries must not be kept while the server is away.
      if (this.#waiting.length > 2 * MOST_WAITING) this.#waiting.keep(({ isDropped }) => !isDropped);
      return;
    }
  }

  /** The library sends unconfirmed bytes again: a new window begins. */
  #onDown(): void {
    this.#out = 0;
    this.#tellRoom();
  }

  #onUp(): void {
    this.#pump();
  }
}
