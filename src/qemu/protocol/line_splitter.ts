/**
 * Splits bytes into lines, however they arrive. A line within one chunk is passed in place; only a split one
 * is copied. It does not parse JSON.
 * @module
 */
import { MAX_QMP_LINE_BYTES } from "../../base/limits.ts";

/**
 * Receives one line, without its line end: `bytes[from..to)`, valid during the call. Returns false to stop.
 */
export type LineSink = (bytes: Uint8Array, from: number, to: number) => boolean;

const NEWLINE = 10;
const RETURN = 13;
const FIRST_STORE_BYTES = 4096;
const KEEP_STORE_BYTES = 65_536;

/** Splits a byte stream into lines of bounded length. */
export class LineSplitter {
  /** Length limit of a line, from the next byte on. */
  maxBytes: number;
  readonly #sink: LineSink;
  #store = new Uint8Array(0);
  #stored = 0;

  /**
   * Starts at the beginning of a line.
   *
   * @param sink receives the lines; empty ones are omitted
   * @param maxBytes length limit of a line
   */
  constructor(sink: LineSink, maxBytes: number = MAX_QMP_LINE_BYTES) {
    this.#sink = sink;
    this.maxBytes = maxBytes;
  }

  /**
   * Processes the next bytes of the stream.
   *
   * @returns false if a line is too long; the stream can then not be used further
   */
  push(bytes: Uint8Array, length: number): boolean {
    let from = 0;
    while (from < length) {
      const found = bytes.indexOf(NEWLINE, from);
      if (found < 0 || found >= length) return this.#keep(bytes, from, length);
      if (this.#stored === 0) {
        if (found - from > this.maxBytes) return false;
        if (!this.#hand(bytes, from, found)) return true;
      } else {
        if (!this.#keep(bytes, from, found)) return false;
        const stored = this.#stored;
        this.#stored = 0;
        const store = this.#store;
        // The buffer of a long line is not kept.
        if (store.length > KEEP_STORE_BYTES) this.#store = new Uint8Array(0);
        if (!this.#hand(store, 0, stored)) return true;
      }
      from = found + 1;
    }
    return true;
  }

  #hand(bytes: Uint8Array, from: number, to: number): boolean {
    const end = to > from && bytes[to - 1] === RETURN ? to - 1 : to;
    return end === from || this.#sink(bytes, from, end);
  }

  #keep(bytes: Uint8Array, from: number, to: number): boolean {
    const needed = this.#stored + to - from;
    if (needed > this.maxBytes) return false;
    if (needed > this.#store.length) {
      const grown = new Uint8Array(Math.min(this.maxBytes, Math.max(FIRST_STORE_BYTES, 2 * needed)));
      grown.set(this.#store.subarray(0, this.#stored));
      this.#store = grown;
    }
    this.#store.set(bytes.subarray(from, to), this.#stored);
    this.#stored = needed;
    return true;
  }
}
