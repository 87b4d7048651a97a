/**
 * The main thread's end of the loop's inbox: messages that do not fit into the ring are queued here, in
 * order, and retried until the loop has taken them. Nothing is lost, and nothing blocks.
 *
 * A message that makes an older one obsolete (a config, a list of VMs, a repeated liveness check) replaces
 * it, so that the queue is bounded even if the loop does not read for long.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { SharedRing } from "../context/shared_ring.ts";

/** Retry interval; the loop reads its inbox every turn. */
const RETRY_MS = 5;

interface Waiting {
  readonly tag: number;
  readonly bytes: Uint8Array;
}

/** Writes messages into a ring whenever there is room. */
export class InboxWriter implements Disposable {
  readonly #ring: SharedRing;
  #waiting: Waiting[] = [];
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /** Writes into `ring`, which the caller owns. */
  constructor(ring: SharedRing) {
    this.#ring = ring;
  }

  /** Number of queued messages. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Queues one message behind all others. */
  send(tag: number, bytes: Uint8Array): void {
    this.#push(tag, bytes);
    this.#flush();
  }

  /** Queues messages behind all others, replacing queued messages with any of their tags. */
  replace(messages: readonly (readonly [tag: number, bytes: Uint8Array])[]): void {
    const tags = new Set(messages.map(([tag]) => tag));
    this.#waiting = this.#waiting.filter(({ tag }) => !tags.has(tag));
    for (const [tag, bytes] of messages) this.#push(tag, bytes);
    this.#flush();
  }

  /** Queues an empty message ahead of all others, unless the same one is queued already. */
  sendFirst(tag: number): void {
    if (this.#waiting.some((each) => each.tag === tag)) return;
    this.#waiting.unshift({ tag, bytes: new Uint8Array(0) });
    this.#flush();
  }

  /** Drops all queued messages. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#waiting = [];
    clearTimeout(this.#retry);
  }

  /** A message that can never fit would block all behind it. */
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
