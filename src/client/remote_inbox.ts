/**
 * Events of other hosts for which a program's streams have no room yet. A socket that is not read holds its
 * daemon back; the NATS library hands over whatever comes, many messages in a turn. So what a stream cannot
 * take waits here, and goes on as soon as there is room: a program that reads loses nothing to a burst.
 *
 * It is bounded. Past that the oldest of the lowest priority go, many at once, and an OVERRUN in front tells
 * how many.
 * @module
 */
import { assert } from "../base/assert.ts";
import { PRIO, type Prio } from "../event/priority.ts";
import { overrunFrame } from "../nats/wire/made_frames.ts";
import { FRAME } from "../protocol/frame.ts";

/** Events that may wait. */
export const MOST_INBOX = 32_768;
/** Bytes that may wait. */
const MOST_INBOX_BYTES: number = 32 * 1024 * 1024;
const EVENT_BYTES = 512;

/** Who takes what waits. */
export interface InboxOwner {
  /** Whether the next one may come. */
  mayRead(): boolean;
  /** Takes a frame. */
  take(frame: Uint8Array<ArrayBuffer>): void;
}

/** The inbox. */
export class RemoteInbox {
  readonly #owner: InboxOwner;
  #waiting: Uint8Array<ArrayBuffer>[] = [];
  #next = 0;
  #bytes = 0;
  #isDraining = false;

  /** An empty one. */
  constructor(owner: InboxOwner) {
    this.#owner = owner;
  }

  /** Frames that wait. */
  get length(): number {
    return this.#waiting.length - this.#next;
  }

  /** Hands a frame on, or has it wait; it is the inbox's from now on. */
  push(frame: Uint8Array<ArrayBuffer>): void {
    if (this.length === 0 && this.#owner.mayRead()) return this.#owner.take(frame);
    this.#waiting.push(frame);
    this.#bytes += frame.length + EVENT_BYTES;
    if (this.length > MOST_INBOX || this.#bytes > MOST_INBOX_BYTES) this.#drop();
    this.drain();
  }

  /** Hands on what there is room for. */
  drain(): void {
    // What is handed on may make room, and ask for more.
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

  /** Forgets what waits. */
  clear(): void {
    this.#keep([]);
    this.#bytes = 0;
  }

  #keep(waiting: Uint8Array<ArrayBuffer>[]): void {
    this.#waiting = waiting;
    this.#next = 0;
  }

  /** Lets a quarter go: of the lowest priority, the oldest; urgent ones only if no other waits. */
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
