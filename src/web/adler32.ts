/**
 * The sum at the end of a zlib stream, for who puts one together of parts that were packed before.
 * @module
 */
import { assert } from "../base/assert.ts";

const ADLER_BASE = 65_521;
/** So many bytes are added up before the sums are too large for 32 bits (zlib's NMAX). */
const ADLER_RUN = 5552;

/** Adler-32 (RFC 1950) of some bytes; sums of parts make that of the whole. */
export class Adler32 {
  readonly #low: number;
  readonly #high: number;
  readonly #bytes: number;

  /** That of no bytes, or of known sums. */
  constructor(low = 1, high = 0, bytes = 0) {
    assert(low < ADLER_BASE && high < ADLER_BASE, "sums are remainders");
    this.#low = low;
    this.#high = high;
    this.#bytes = bytes;
  }

  /** That of bytes. */
  static of(bytes: Uint8Array): Adler32 {
    let [low, high] = [1, 0];
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + ADLER_RUN);
      for (; at < end; at++) {
        low += bytes[at] as number;
        high += low;
      }
      low %= ADLER_BASE;
      high %= ADLER_BASE;
    }
    return new Adler32(low, high, bytes.length);
  }

  /** As a file has it. */
  get value(): number {
    return this.#high * 65_536 + this.#low;
  }

  /** That of these bytes with others behind them. */
  followedBy(next: Adler32): Adler32 {
    const low = (this.#low + next.#low + ADLER_BASE - 1) % ADLER_BASE;
    // Each of the bytes behind adds the lower sum of those before, less the 1 that it began with.
    const carried = (next.#bytes % ADLER_BASE) * ((this.#low + ADLER_BASE - 1) % ADLER_BASE);
    return new Adler32(low, (this.#high + next.#high + carried) % ADLER_BASE, this.#bytes + next.#bytes);
  }
}
