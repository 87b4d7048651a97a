/**
 * The pseudo-random bytes of tests/c/v2v_guest.c, and its hash.
 * @module
 */

/** Fills words with the sequence that follows `state`; the state after them. */
export function fillWords(words: Uint32Array, state: number): number {
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[i] = state;
  }
  return state;
}

/** A running hash of bytes. */
export class ByteHash {
  /** Bytes so far. */
  bytes = 0;
  #a = 2166136261 | 0;
  #b = 0;

  /** Adds some. */
  add(bytes: Uint8Array): void {
    let a = this.#a, b = this.#b;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] as number;
      a = Math.imul(a ^ byte, 16777619);
      b = Math.imul((b + byte) | 0, 2654435761);
    }
    this.#a = a;
    this.#b = b;
    this.bytes += bytes.length;
  }

  /** As the C program prints it. */
  toString(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, "0");
    return `hash ${hex(this.#a)}${hex(this.#b)} ${this.bytes}`;
  }
}
