/**
 * The newest bytes of a stream, by their place among all that it ever carried. Older ones are overwritten; a
 * reader that asks for them is told the place of the oldest byte kept.
 * @module
 */
import { assert } from "../../base/assert.ts";

/** Bytes that are kept of a console. */
export const BACKLOG_BYTES: number = 1 << 20;
/** What it begins with: most consoles say little. */
const FIRST_BYTES = 1 << 14;

/** A ring of bytes that grows up to its bound. */
export class Backlog {
  readonly #most: number;
  #ring: Uint8Array<ArrayBuffer>;
  #start = 0;
  #end = 0;

  /**
   * Starts empty.
   *
   * @param most bytes that are kept, a power of two
   * @param place of the first byte that will come
   */
  constructor(most: number = BACKLOG_BYTES, place = 0) {
    assert((most & (most - 1)) === 0 && most > 0, "a ring's size is a power of two");
    this.#most = most;
    this.#ring = new Uint8Array(Math.min(most, FIRST_BYTES));
    this.#start = this.#end = place;
  }

  /** Place of the oldest byte that is kept. */
  get start(): number {
    return this.#start;
  }

  /** One past the newest. */
  get end(): number {
    return this.#end;
  }

  /** Bytes that can come until one from `place` on is overwritten. */
  roomAfter(place: number): number {
    return this.#most - (this.#end - Math.min(Math.max(place, this.#start), this.#end));
  }

  /** Adds bytes, in place of the oldest where there is no room. */
  append(bytes: Uint8Array): void {
    this.#grow(this.#end - this.#start + bytes.length);
    const size = this.#ring.length;
    // Of more than it holds only the last part stays.
    const skipped = Math.max(0, bytes.length - size);
    const kept = bytes.subarray(skipped);
    const at = (this.#end + skipped) & (size - 1);
    const first = Math.min(kept.length, size - at);
    this.#ring.set(kept.subarray(0, first), at);
    if (first < kept.length) this.#ring.set(kept.subarray(first), 0);
    this.#end += bytes.length;
    this.#start = Math.max(this.#start, this.#end - size);
    assert(this.#end - this.#start <= this.#most, "no more is kept than may be");
  }

  /**
   * Copies bytes out.
   *
   * @param place of the first that is wanted: from {@linkcode start} to {@linkcode end}
   * @returns a copy of as many as there are, `most` at most
   */
  read(place: number, most: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(Math.min(most, this.#end - place));
    this.copyTo(place, bytes);
    return bytes;
  }

  /**
   * Copies bytes out, as many as the target holds.
   *
   * @param place of the first that is wanted; it and all that follow are kept
   */
  copyTo(place: number, target: Uint8Array): void {
    const { length } = target;
    assert(place >= this.#start && place + length <= this.#end, "what is read is kept");
    const size = this.#ring.length;
    const at = place & (size - 1);
    const first = Math.min(length, size - at);
    target.set(this.#ring.subarray(at, at + first));
    if (first < length) target.set(this.#ring.subarray(0, length - first), first);
  }

  #grow(wanted: number): void {
    let size = this.#ring.length;
    while (size < wanted && size < this.#most) size *= 2;
    if (size === this.#ring.length) return;
    const kept = this.read(this.#start, this.#end - this.#start);
    this.#ring = new Uint8Array(size);
    const at = this.#start & (size - 1);
    const first = Math.min(kept.length, size - at);
    this.#ring.set(kept.subarray(0, first), at);
    this.#ring.set(kept.subarray(first), 0);
  }
}
