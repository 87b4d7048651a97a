/**
 * The checksum at the end of a zlib stream, for a stream assembled from parts that were compressed
 * separately.
 * @module
 */
import { assert } from "../base/assert.ts";

const ADLER_BASE = 65_521;
/** Bytes that can be added before the sums exceed 32 bits (zlib's NMAX). */
const ADLER_RUN = 5552;

/** Adler-32 (RFC 1950); the sums of parts can be combined into that of the whole. */
export class Adler32 {
  readonly #low: number;
  readonly #high: number;
  readonly #bytes: number;

  /** The sum of no bytes, or known sums. */
  constructor(low = 1, high = 0, bytes = 0) {
    assert(low < ADLER_BASE && high < ADLER_BASE, "sums are remainders");
    this.#low = low;
    this.#high = high;
    this.#bytes = bytes;
  }

  /** The sum of some bytes. */
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

  /** In the file's byte order. */
  get value(): number {
    return this.#high * 65_536 + this.#low;
  }

  /** The sum of these bytes followed by others. */
  followedBy(next: Adler32): Adler32 {
    const low = (this.#low + next.#low + ADLER_BASE - 1) % ADLER_BASE;
    // Each of the following bytes adds the lower sum of the first ones, less the initial 1.
    const carried = (next.#bytes % ADLER_BASE) * ((this.#low + ADLER_BASE - 1) % ADLER_BASE);
    return new Adler32(low, (this.#high + next.#high + carried) % ADLER_BASE, this.#bytes + next.#bytes);
  }
}
