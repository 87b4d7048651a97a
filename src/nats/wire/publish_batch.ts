/**
 * Collects the messages published in one turn into one piece of NATS protocol that the library sends. The
 * library builds a string for each message's head, encodes it, and puts three pieces into a list that it
 * joins later, which is most of the cost of publishing a small message. Here a head is encoded once per
 * subject, and a message is copied once, to where it is sent from.
 *
 * Memory that was passed to the library is not written again: the next piece follows it.
 * @module
 */
import { assert } from "../../base/assert.ts";

const BLOCK_BYTES = 65_536;
/** A piece of this size is sent before the end of the turn, since the library sends that much at once. */
const PIECE_BYTES = 32_768;
/** Digits of the longest message's length, and two line ends. */
const MOST_FRAMING_BYTES = 16;
const CR = 13;
const LF = 10;
const ZERO = 48;
const ENCODER = new TextEncoder();

/** The bytes before a message's length: a publication to a subject, with the subject for answers. */
export function messageHead(subject: string, reply?: string): Uint8Array {
  assert(/^[^\s]+$/.test(subject) && /^[^\s]*$/.test(reply ?? ""), "a subject is one word");
  return ENCODER.encode(reply === undefined ? `PUB ${subject} ` : `PUB ${subject} ${reply} `);
}

/** Collects messages. */
export class PublishBatch {
  readonly #send: (piece: Uint8Array) => void;
  #block = new Uint8Array(BLOCK_BYTES);
  #begin = 0;
  #end = 0;
  #isDue = false;

  /** Starts empty. @param send sends a piece, whose memory it owns from then on */
  constructor(send: (piece: Uint8Array) => void) {
    this.#send = send;
  }

  /**
   * Adds a message.
   *
   * @param head from {@linkcode messageHead}
   * @param before bytes to send first
   * @param bytes the buffer with the rest
   * @param at the offset of the rest
   * @param length its length
   */
  add(head: Uint8Array, before: Uint8Array, bytes: Uint8Array, at: number, length: number): void {
    const total = before.length + length;
    const most = head.length + total + MOST_FRAMING_BYTES;
    if (this.#end + most > this.#block.length) {
      this.flush();
      this.#block = new Uint8Array(Math.max(BLOCK_BYTES, most));
      this.#begin = this.#end = 0;
    }
    const block = this.#block;
    let end = this.#end;
    block.set(head, end);
    end = writeDecimal(block, end + head.length, total);
    block[end++] = CR;
    block[end++] = LF;
    end = copy(before, 0, before.length, block, end);
    end = copy(bytes, at, length, block, end);
    block[end++] = CR;
    block[end++] = LF;
    this.#end = end;
    if (end - this.#begin >= PIECE_BYTES) return this.flush();
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      this.flush();
    });
  }

  /** Sends what was collected. */
  flush(): void {
    if (this.#end === this.#begin) return;
    const piece = this.#block.subarray(this.#begin, this.#end);
    this.#begin = this.#end;
    this.#send(piece);
  }
}

function copy(from: Uint8Array, at: number, length: number, to: Uint8Array, end: number): number {
  if (length > 0) to.set(length === from.length ? from : from.subarray(at, at + length), end);
  return end + length;
}

function writeDecimal(bytes: Uint8Array, at: number, value: number): number {
  let digits = 1;
  for (let ten = 10; value >= ten; ten *= 10) digits++;
  for (let i = at + digits - 1; i >= at; i--) {
    bytes[i] = ZERO + value % 10;
    value = Math.floor(value / 10);
  }
  return at + digits;
}
