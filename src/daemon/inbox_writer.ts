/**
 * The main thread's way into the loop's inbox: what does not fit now waits here, in order, and is tried again
 * until the loop has taken it. Nothing is lost and nothing blocks.
 *
 * What newer news make worthless (a config, a list of VMs, a sign of life that was asked for already) takes
 * the place of the older, so what waits is bounded by what there is to say, however long the loop does not
 * read.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { SharedRing } from "../context/shared_ring.ts";

/** The loop takes its inbox every turn. */
const RETRY_MS = 5;

interface Waiting {
  readonly tag: number;
  readonly bytes: Uint8Array;
}

/** Puts messages into a ring, whenever there is room. */
export class InboxWriter implements Disposable {
  readonly #ring: SharedRing;
  #waiting: Waiting[] = [];
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /** Writes into `ring`, which the caller keeps. */
  constructor(ring: SharedRing) {
    this.#ring = ring;
  }

  /** How many messages have found no room yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Puts one message behind all others. */
  send(tag: number, bytes: Uint8Array): void {
    this.#push(tag, bytes);
    this.#flush();
  }

  /** Puts messages behind all others, in place of those with one of their tags that still wait. */
  replace(messages: readonly (readonly [tag: number, bytes: Uint8Array])[]): void {
    const tags = new Set(messages.map(([tag]) => tag));
    this.#waiting = this.#waiting.filter(({ tag }) => !tags.has(tag));
    for (const [tag, bytes] of messages) this.#push(tag, bytes);
    this.#flush();
  }

  /** Puts a message of no bytes ahead of all others, once: the same one that still waits is enough. */
  sendFirst(tag: number): void {
    if (this.#waiting.some((each) => each.tag === tag)) return;
    this.#waiting.unshift({ tag, bytes: new Uint8Array(0) });
    this.#flush();
  }

  /** Gives up what still waits. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#waiting = [];
    clearTimeout(this.#retry);
  }

  /** One that never fits would hold up all behind it. */
  #push(tag: number, bytes: Uint8Array): void {
    assert(bytes.length <= this.#ring.maxMessageBytes, "a message fits the inbox");
    this.#waiting.push({ tag, bytes });
  }

  #flush(): void {
    if (this.#closed) return;
    let sent = 0;
    for (const { tag, bytes } of this.#waiting) {
      if (!this.#ring.push(tag, bytes)) break;
      sent++;
    }
    this.#waiting.splice(0, sent);
    clearTimeout(this.#retry);
    if (this.#waiting.length > 0) this.#retry = setTimeout(() => this.#flush(), RETRY_MS);
  }
}
