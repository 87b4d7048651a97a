/**
 * The port through which rings see memory that both ends have mapped: an ArrayBuffer over a mapping, a
 * SharedArrayBuffer between Workers, or a plain ArrayBuffer in a test. It owns no mapping and knows no file.
 *
 * Ordering. The rings load and store their index words with Atomics, everything else plainly. ECMAScript
 * promises that order only for a SharedArrayBuffer. On x86-64 it holds for a mapping too: V8 compiles
 * Atomics.store on an Int32Array to `xchg` whatever kind of buffer lies below, which is a full fence,
 * Atomics.load to a plain load, which x86 never reorders with a later access; and the compiler moves no
 * access over either, since both may have side effects. tests/unit/ffi/shared_word_test.ts runs publication
 * and the store-buffer litmus on a mapping between two threads: plain stores break the second, Atomics do
 * not.
 * @module
 */

/** Memory that both ends see, and how to copy in and out of it. */
export interface SharedRegion {
  /** The memory. Its offset 0 is the region's offset 0. */
  readonly buffer: ArrayBufferLike;
  /** Bytes of it that are safe to touch. */
  readonly sizeBytes: number;
  /** Copies `length` bytes of `source`, from `from` on, into the region at `at`. */
  copyIn(at: number, source: Uint8Array, from: number, length: number): void;
  /** Copies `length` bytes of the region at `at` into `target`, from `to` on. */
  copyOut(at: number, target: Uint8Array, to: number, length: number): void;
}

/**
 * A region over any buffer, copying in plain TypeScript. A copy of a part of an array makes one small view of
 * it.
 */
export class BufferRegion implements SharedRegion {
  /** See {@linkcode SharedRegion}. */
  readonly buffer: ArrayBufferLike;
  /** See {@linkcode SharedRegion}. */
  readonly sizeBytes: number;
  readonly #bytes: Uint8Array;

  /**
   * Makes a region of a whole buffer.
   *
   * @param buffer the memory, whole
   */
  constructor(buffer: ArrayBufferLike) {
    this.buffer = buffer;
    this.sizeBytes = buffer.byteLength;
    this.#bytes = new Uint8Array(buffer);
  }

  /** See {@linkcode SharedRegion}. */
  copyIn(at: number, source: Uint8Array, from: number, length: number): void {
    const whole = from === 0 && length === source.length;
    this.#bytes.set(whole ? source : source.subarray(from, from + length), at);
  }

  /** See {@linkcode SharedRegion}. */
  copyOut(at: number, target: Uint8Array, to: number, length: number): void {
    target.set(this.#bytes.subarray(at, at + length), to);
  }
}
