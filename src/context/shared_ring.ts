/**
 * A ring of byte messages in shared memory with many writers and one reader, through which other threads
 * submit events and messages to the loop. A writer copies its message under a short spin lock and signals the
 * reader's eventfd; when the ring is full it waits (on threads that may block) or fails. The reader drains
 * the ring on its own thread.
 *
 * Layout of the SharedArrayBuffer: i32 lock, i32 head (reader), i32 tail (writers), i32 wake counter; then
 * the bytes. Messages are u32 length, u32 tag, payload, padded to 8. Indices are free-running modulo 2^32.
 * All words are accessed by Atomics on shared memory, which ECMAScript orders.
 * @module
 */
import { EventFd } from "../../ffi/event_fd.ts";
import { assert } from "../base/assert.ts";

const LOCK = 0;
const HEAD = 1;
const TAIL = 2;
const WAKE = 3;
const HEADER_BYTES = 16;
const MESSAGE_HEADER_BYTES = 8;

/** What another thread needs to attach as a writer: plain values that postMessage can carry. */
export interface SharedRingHandle {
  /** The ring's header and data. */
  readonly memory: SharedArrayBuffer;
  /** The eventfd that is signalled after a write; borrowed. */
  readonly eventFd: number;
}

/**
 * A ring's ends: writers use {@linkcode SharedRing.push}, the only reader uses {@linkcode SharedRing.drain}.
 */
export class SharedRing {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #size: number;
  readonly #bell: EventFd;
  /** The handle to pass to other threads. */
  readonly handle: SharedRingHandle;

  /**
   * Attaches to a ring.
   *
   * @param handle of a ring that {@linkcode SharedRing.create} made, perhaps on another thread; the eventfd
   *   is borrowed
   */
  constructor(handle: SharedRingHandle) {
    this.handle = handle;
    this.#words = new Int32Array(handle.memory, 0, HEADER_BYTES / 4);
    this.#bytes = new Uint8Array(handle.memory, HEADER_BYTES);
    this.#size = this.#bytes.length;
    this.#bell = EventFd.borrow(handle.eventFd);
  }

  /**
   * Makes a ring.
   *
   * @param sizeBytes a power of two
   * @param eventFd signalled after a write; owned by the caller
   */
  static create(sizeBytes: number, eventFd: number): SharedRing {
    assert(sizeBytes >= 4096 && (sizeBytes & (sizeBytes - 1)) === 0, "a ring's size is a power of two");
    return new SharedRing({ memory: new SharedArrayBuffer(HEADER_BYTES + sizeBytes), eventFd });
  }

  /** Payload limit of one message, bytes. */
  get maxMessageBytes(): number {
    return this.#size / 2 - MESSAGE_HEADER_BYTES;
  }

  /**
   * Writes one message and signals the reader.
   *
   * @param tag the message's type, defined by the two sides
   * @param waitMs how long to wait for room; 0 = not at all. Only on threads that may block (not Deno's main
   *   thread)
   * @returns false when there was no room within that time
   */
  push(tag: number, message: Uint8Array, waitMs = 0): boolean {
    const need = roundUp8(MESSAGE_HEADER_BYTES + message.length);
    assert(message.length <= this.maxMessageBytes, "a message fits half the ring");
    const untilMs = performance.now() + waitMs;
    for (;;) {
      const wake = Atomics.load(this.#words, WAKE);
      if (this.#tryPush(tag, message, need)) break;
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0) return false;
      Atomics.wait(this.#words, WAKE, wake, leftMs);
    }
    this.#bell.signal();
    return true;
  }

  /**
   * Takes out the messages.
   *
   * @param take called with each message; the bytes are its own copy
   * @param most maximum number of messages; if some are left, the eventfd is signalled again
   */
  drain(take: (tag: number, message: Uint8Array) => void, most = 1024): void {
    this.#bell.drain();
    for (let i = 0; i < most; i++) {
      const head = Atomics.load(this.#words, HEAD);
      if (head === Atomics.load(this.#words, TAIL)) return;
      const length = this.#read32(head);
      const tag = this.#read32(head + 4);
      const message = this.#copyOut(head + MESSAGE_HEADER_BYTES, length);
      Atomics.store(this.#words, HEAD, (head + roundUp8(MESSAGE_HEADER_BYTES + length)) | 0);
      Atomics.add(this.#words, WAKE, 1);
      Atomics.notify(this.#words, WAKE);
      take(tag, message);
    }
    this.#bell.signal();
  }

  #tryPush(tag: number, message: Uint8Array, need: number): boolean {
    while (Atomics.compareExchange(this.#words, LOCK, 0, 1) !== 0);
    try {
      const tail = Atomics.load(this.#words, TAIL);
      const used = (tail - Atomics.load(this.#words, HEAD)) >>> 0;
      if (used + need > this.#size) return false;
      this.#write32(tail, message.length);
      this.#write32(tail + 4, tag);
      this.#copyIn(tail + MESSAGE_HEADER_BYTES, message);
      Atomics.store(this.#words, TAIL, (tail + need) | 0);
      return true;
    } finally {
      Atomics.store(this.#words, LOCK, 0);
    }
  }

  #copyIn(at: number, message: Uint8Array): void {
    const start = at & (this.#size - 1);
    const first = Math.min(message.length, this.#size - start);
    this.#bytes.set(message.subarray(0, first), start);
    this.#bytes.set(message.subarray(first), 0);
  }

  #copyOut(at: number, length: number): Uint8Array {
    const start = at & (this.#size - 1);
    const first = Math.min(length, this.#size - start);
    const message = new Uint8Array(length);
    message.set(this.#bytes.subarray(start, start + first));
    message.set(this.#bytes.subarray(0, length - first), first);
    return message;
  }

  #read32(at: number): number {
    const i = at & (this.#size - 1);
    const b = this.#bytes;
    return ((b[i] as number) | ((b[i + 1] as number) << 8) | ((b[i + 2] as number) << 16) |
      ((b[i + 3] as number) << 24)) >>> 0;
  }

  #write32(at: number, value: number): void {
    const i = at & (this.#size - 1);
    for (let k = 0; k < 4; k++) this.#bytes[i + k] = value >>> (8 * k);
  }
}

function roundUp8(n: number): number {
  return (n + 7) & ~7;
}
