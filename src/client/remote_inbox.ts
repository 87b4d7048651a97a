/**
 * Events from other hosts for which a program's streams have no room yet. A socket that is not read blocks
 * its daemon, but the NATS library passes on whatever arrives, many messages per turn. So events that a
 * stream cannot take are queued here until there is room, and a program that keeps reading loses nothing in a
 * burst.
 *
 * The queue is bounded. Above the limit, the oldest events of the lowest priority are dropped, many at once,
 * and an OVERRUN before the rest says how many.
 * @module
 */
import { assert } from "../base/assert.ts";
import { PRIO, type Prio } from "../event/priority.ts";
import { overrunFrame } from "../nats/wire/made_frames.ts";
import { FRAME } from "../protocol/frame.ts";

/** Maximum number of queued events. */
export const MOST_INBOX = 32_768;
/** Maximum size of queued events, bytes. */
const MOST_INBOX_BYTES: number = 32 * 1024 * 1024;
const EVENT_BYTES = 512;

/** The receiver of queued events. */
export interface InboxOwner {
  /** Whether it accepts another event now. */
  mayRead(): boolean;
  /** Takes a frame. */
  take(frame: Uint8Array<ArrayBuffer>): void;
}

/** The queue. */
export class RemoteInbox {
  readonly #owner: InboxOwner;
  #waiting: Uint8Array<ArrayBuffer>[] = [];
  #next = 0;
  #bytes = 0;
  #isDraining = false;

  /** Starts empty. */
  constructor(owner: InboxOwner) {
    this.#owner = owner;
  }

  /** Number of queued frames. */
  get length(): number {
    return this.#waiting.length - this.#next;
  }

  /** Passes on a frame or queues it; the inbox owns it from now on. */
  push(frame: Uint8Array<ArrayBuffer>): void {
    if (this.length === 0 && this.#owner.mayRead()) return this.#owner.take(frame);
    this.#waiting.push(frame);
    this.#bytes += frame.length + EVENT_BYTES;
    if (this.length > MOST_INBOX || this.#bytes > MOST_INBOX_BYTES) this.#drop();
    this.drain();
  }

  /** Passes on frames while there is room. */
  drain(): void {
    // Passing on a frame may make room and call this again.
    if (this.#isDraining) return;
    this.#isDraining = true;
    try {
      while (this.length > 0 && this.#owner.mayRead()) {
        const frame = this.#waiting[this.#next++];
        assert(frame !== undefined, "what is counted waits");
        this.#bytes -= frame.length + EVENT_BYTES;
        if (this.#next >= MOST_INBOX / 4) this.#keep(this.#waiting.slice(this.#next));
        this.#owner.take(frame);
      }
    } finally {
      this.#isDraining = false;
    }
    if (this.length === 0 && this.#next > 0) this.#keep([]);
  }

  /** Drops all queued frames. */
  clear(): void {
    this.#keep([]);
    this.#bytes = 0;
  }

  #keep(waiting: Uint8Array<ArrayBuffer>[]): void {
    this.#waiting = waiting;
    this.#next = 0;
  }

  /** Drops a quarter: the oldest of the lowest priority; urgent ones only if there are no others. */
  #drop(): void {
    let waiting = this.#waiting.slice(this.#next);
    const most = waiting.length - Math.ceil(waiting.length / 4);
    let [lost, highest]: [number, Prio] = [0, PRIO.BULK];
    for (let prio = 0; waiting.length > most && prio <= PRIO.URGENT; prio++) {
      let excess = waiting.length - most;
      waiting = waiting.filter((frame) => {
        if (excess === 0 || frame[FRAME.prio] !== prio) return true;
        excess--;
        lost++;
        highest = prio as Prio;
        this.#bytes -= frame.length + EVENT_BYTES;
        return false;
      });
    }
    const told = overrunFrame(lost, highest);
    this.#bytes += told.length + EVENT_BYTES;
    this.#keep([told, ...waiting]);
  }
}
