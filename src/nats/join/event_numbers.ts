/**
 * The subjects of events, and their sequence numbers: the events of one subject are numbered as they are
 * sent, so that a reader can detect losses between the server and itself, and duplicates. (Per subject,
 * because a user's permissions may exclude a kind or an endpoint.) A sequence may begin anywhere: a number
 * far from the previous one belongs to another run.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { FRAME } from "../../protocol/frame.ts";
import { messageHead } from "../wire/publish_batch.ts";
import { eventSubject } from "../wire/subjects.ts";

/** Names that are cached: a host has few, unless they change all the time. */
const MOST_COUNTED = 16_384;

interface Count {
  last: number;
}

/** The destination of events of one kind. */
export interface Outlet {
  /** The subject. */
  readonly subject: string;
  /** The bytes before each message. */
  readonly head: Uint8Array;
  /** Numbers a frame that is sent now. @param at the frame's offset */
  stamp(bytes: Uint8Array, at: number): void;
}

/** The numbering of one host's events. */
export class EventNumbers {
  readonly #host: string;
  readonly #counts = new Map<string, Count>();

  /** Starts without numbers. @param host the host's name */
  constructor(host: string) {
    this.#host = host;
  }

  /** The destination of events of a kind. @param endpoint the endpoint's token */
  outlet(endpoint: string, source: string, kind: string): Outlet {
    const subject = eventSubject(this.#host, endpoint, source, kind);
    let count = this.#counts.get(subject);
    if (count === undefined) {
      if (this.#counts.size >= MOST_COUNTED) this.#counts.clear();
      count = { last: crypto.getRandomValues(new Uint32Array(1))[0] as number };
      this.#counts.set(subject, count);
    }
    return new CountedOutlet(subject, count);
  }
}

class CountedOutlet implements Outlet {
  readonly subject: string;
  readonly head: Uint8Array;
  readonly #count: Count;

  constructor(subject: string, count: Count) {
    this.subject = subject;
    this.head = messageHead(subject);
    this.#count = count;
  }

  stamp(bytes: Uint8Array, at: number): void {
    assert(bytes.length >= at + FRAME.body, "what is counted is a frame");
    const number = this.#count.last = (this.#count.last + 1) >>> 0;
    const seq = at + FRAME.seq;
    bytes[seq] = number & 0xff;
    bytes[seq + 1] = number >>> 8 & 0xff;
    bytes[seq + 2] = number >>> 16 & 0xff;
    bytes[seq + 3] = number >>> 24;
  }
}
