/**
 * Bytes to lines, however they are torn. A line that lies whole in one chunk is handed out in
 * place; only a torn one is copied. It knows nothing of JSON.
 * @module
 */
import { MAX_QMP_LINE_BYTES } from "../../base/limits.ts";

/**
 * Takes one line, without its line end: `bytes[from..to)`, valid during the call. Returns false to be given
 * no more.
 */
export type LineSink = (bytes: Uint8Array, from: number, to: number) => boolean;

const NEWLINE = 10;
const RETURN = 13;
const FIRST_STORE_BYTES = 4096;
const KEEP_STORE_BYTES = 65_536;

/** Cuts a byte stream into lines of a bounded length. */
export class LineSplitter {
  /** How long a line may be, from the next byte on. */
  maxBytes: number;
  readonly #sink: LineSink;
  #store = new Uint8Array(0);
  #stored = 0;

  /**
   * Starts at the beginning of a line.
   *
   * @param sink who takes the lines; empty ones are left out
   * @param maxBytes how long a line may be
   */
  constructor(sink: LineSink, maxBytes: number = MAX_QMP_LINE_BYTES) {
    this.#sink = sink;
    this.maxBytes = maxBytes;
  }

  /**
   * Takes the next bytes of the stream.
   *
   * @returns false when a line is longer than allowed; the stream is then of no more use
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
        // What one long line needed is not kept for ever.
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
