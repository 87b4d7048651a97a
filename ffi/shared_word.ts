/**
 * Words that another process or a guest reads and writes at the same time.
 *
 * 32-bit words go through Atomics on the mapping. ECMAScript promises their ordering only for a
 * SharedArrayBuffer; on V8 they are the same built-in functions for both kinds of buffer (a plain load, an
 * `xchg` for a store), which on x86-64 is enough, and a function call that the compiler moves no other access
 * across. A stress test checks that.
 *
 * 64-bit words go through the shim: Atomics would make a BigInt of each, and a Float64Array may change the
 * bits of a NaN. Values are doubles: exact below 2^53, the nearest one above.
 * @module
 */
import { assert } from "../src/base/assert.ts";
import type { Mapping } from "./mapping.ts";
import { shim, type ShimSymbols } from "./shim.ts";

const HIGH = 2 ** 32;

/** An array of shared words in a mapping, or in a buffer that other threads see. */
export class SharedWords {
  readonly #shim: ShimSymbols = shim();
  readonly #words: Uint32Array;
  readonly #address: number;
  readonly #fence = new Int32Array(new SharedArrayBuffer(4));

  /**
   * Looks at a piece of shared memory.
   *
   * @param buffer a mapping's buffer, or a SharedArrayBuffer
   * @param byteOffset where the words begin, a multiple of 8
   * @param count how many 32-bit words
   */
  constructor(buffer: ArrayBufferLike, byteOffset: number, count: number) {
    assert(byteOffset % 8 === 0, "shared words are aligned");
    this.#words = new Uint32Array(buffer, byteOffset, count);
    this.#address = addressOf(this.#words);
  }

  /** How many 32-bit words; 0 once the mapping is disposed of. */
  get count(): number {
    return this.#words.length;
  }

  /** Loads 32-bit word i. What follows is not done before it. */
  load32(i: number): number {
    return Atomics.load(this.#words, i);
  }

  /** Stores 32-bit word i; all that came before is seen no later, and it is a full fence. */
  store32(i: number, value: number): void {
    Atomics.store(this.#words, i, value);
  }

  /** Adds to 32-bit word i, wrapping around; what it was before. */
  add32(i: number, value: number): number {
    return Atomics.add(this.#words, i, value);
  }

  /** Stores `value` in 32-bit word i if it holds `expected`; what it held. */
  compareExchange32(i: number, expected: number, value: number): number {
    return Atomics.compareExchange(this.#words, i, expected, value);
  }

  /** Loads 64-bit word i (at byte 8 x i) in one piece, as a double. */
  load64(i: number): number {
    this.#check64(i);
    return this.#shim.vmsig_load64(this.#address + 8 * i);
  }

  /**
   * Stores 64-bit word i (at byte 8 x i) in one piece: an integer of magnitude below 2^53, negative in two's
   * complement.
   */
  store64(i: number, value: number): void {
    this.#check64(i);
    const high = Math.floor(value / HIGH);
    this.#shim.vmsig_store(this.#address + 8 * i, 8, value - high * HIGH, high >>> 0);
  }

  /** A full fence: loads behind it are not done before the stores in front of it are seen. */
  fence(): void {
    Atomics.exchange(this.#fence, 0, 0);
  }

  // The address outlives the mapping, the array does not: its length becomes 0, and every index is refused.
  #check64(i: number): void {
    if (!(i >= 0 && 2 * i + 1 < this.#words.length)) {
      throw new RangeError(`there is no 64-bit word ${i} here`);
    }
  }
}

/**
 * Stores 1, 2, 4 or 8 bytes in a mapping so that nobody ever sees a part of them.
 *
 * @param mapping a writable mapping
 * @param offset where, a multiple of `sizeBytes`
 * @param sizeBytes 1, 2, 4 or 8
 * @param low the low 32 bits
 * @param high the high 32 bits, for 8 bytes
 */
export function storeAtomic(
  mapping: Mapping,
  offset: number,
  sizeBytes: number,
  low: number,
  high = 0,
): void {
  assert(mapping.writable, "what is stored to is writable");
  assert(
    sizeBytes === 1 || sizeBytes === 2 || sizeBytes === 4 || sizeBytes === 8,
    "an atomic store has a size",
  );
  assert(offset >= 0 && offset + sizeBytes <= mapping.length, "an atomic store lies in its mapping");
  assert(offset % sizeBytes === 0, "an atomic store is aligned");
  shim().vmsig_store(mapping.address + offset, sizeBytes, low >>> 0, high >>> 0);
}

function addressOf(words: Uint32Array): number {
  const pointer = Deno.UnsafePointer.of(words as Uint32Array<ArrayBuffer>);
  assert(pointer !== null, "shared words are somewhere");
  return Number(Deno.UnsafePointer.value(pointer));
}
