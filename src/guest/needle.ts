/**
 * Searches for a byte pattern by Horspool's rule: the byte under the pattern's end determines how far the
 * pattern can be moved, mostly by its whole length. So a long pattern is found faster than memory can be
 * read, and a short one at a few bytes per step.
 * @module
 */
import { assert } from "../base/assert.ts";

/** Up to this length, bytes, a pattern is short. */
const SHORT_BYTES = 7;

/** A preprocessed pattern, for repeated searches. */
export class Needle {
  readonly #pattern: Uint8Array;
  /** How far to move on when this byte is under the pattern's last one; 0 for that byte itself. */
  readonly #shifts: Int32Array;
  /** How far to move on from a place where only the last byte was right. */
  readonly #again: number;
  /** Of a short pattern, which of its bytes is looked for. */
  readonly #rare: number;

  /**
   * Preprocesses a pattern.
   *
   * @param pattern at least one byte; borrowed
   */
  constructor(pattern: Uint8Array) {
    assert(pattern.length >= 1, "a pattern has a byte");
    const last = pattern.length - 1;
    this.#pattern = pattern;
    this.#shifts = new Int32Array(256).fill(pattern.length);
    for (let i = 0; i < last; i++) this.#shifts[pattern[i] as number] = last - i;
    this.#again = this.#shifts[pattern[last] as number] as number;
    this.#shifts[pattern[last] as number] = 0;
    this.#rare = Math.max(0, pattern.findIndex((byte) => byte !== 0 && byte !== 0xff));
  }

  /** First index >= `start` at which the whole pattern lies before `end`, or -1. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const pattern = this.#pattern;
    const last = pattern.length - 1;
    if (last === 0) {
      const at = bytes.subarray(start, end).indexOf(pattern[0] as number);
      return at < 0 ? -1 : start + at;
    }
    if (last < SHORT_BYTES) return this.#findShort(bytes, start, end);
    const shifts = this.#shifts;
    // Three steps per iteration while they cannot leave the range: a step at a match does not move.
    const safe = end - 2 * pattern.length;
    let at = start + last;
    while (at < end) {
      while (at < safe) {
        at += shifts[bytes[at] as number] as number;
        at += shifts[bytes[at] as number] as number;
        const step = shifts[bytes[at] as number] as number;
        if (step === 0) break;
        at += step;
      }
      if (at >= end) return -1;
      const step = shifts[bytes[at] as number] as number;
      if (step !== 0) {
        at += step;
        continue;
      }
      const first = at - last;
      let same = 0;
      while (same < last && bytes[first + same] === pattern[same]) same++;
      if (same === last) return first;
      at += this.#again;
    }
    return -1;
  }

  #findShort(bytes: Uint8Array, start: number, end: number): number {
    const pattern = this.#pattern;
    const wanted = pattern[this.#rare] as number;
    const stop = end - pattern.length + this.#rare + 1;
    for (let at = start + this.#rare; at < stop; at++) {
      while (
        at + 4 < stop && bytes[at] !== wanted && bytes[at + 1] !== wanted && bytes[at + 2] !== wanted &&
        bytes[at + 3] !== wanted
      ) at += 4;
      if (bytes[at] !== wanted) continue;
      const first = at - this.#rare;
      let same = 0;
      while (same < pattern.length && bytes[first + same] === pattern[same]) same++;
      if (same === pattern.length) return first;
    }
    return -1;
  }
}
