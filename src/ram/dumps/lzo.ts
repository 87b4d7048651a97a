/**
 * Decompresses LZO1X, as written by makedumpfile -l, the default of several distributions' kdump (the format:
 * Linux, Documentation/staging/lzo.rst). An instruction is a byte; most copy earlier output, and carry up to
 * three literal bytes.
 * @module
 */

/** An invalid instruction: the input or the output ends, or a copy begins before the start of the output. */
const BAD = -1;

/**
 * Decompresses a block.
 *
 * @param input the block
 * @param into receives the output, which must have exactly this length
 * @returns whether it is a complete and valid block of that length
 */
export function unpackLzo(input: Uint8Array, into: Uint8Array): boolean {
  return new LzoBlock(input, into).unpack();
}

class LzoBlock {
  readonly #input: Uint8Array;
  readonly #into: Uint8Array;
  #at = 0;
  #out = 0;
  /** Number of literals of the last instruction: 0 to 3, or 4 after a run of them. */
  #state = 0;

  constructor(input: Uint8Array, into: Uint8Array) {
    this.#input = input;
    this.#into = into;
  }

  unpack(): boolean {
    const first = this.#input[0];
    if (first === undefined) return false;
    if (first > 17) {
      this.#at = 1;
      if (!this.#literals(first - 17)) return false;
      this.#state = Math.min(first - 17, 4);
    }
    for (;;) {
      const code = this.#byte();
      if (code === BAD) return false;
      if (code < 16 && this.#state === 0) {
        const size = this.#length(code, 15) + 3;
        if (!this.#literals(size)) return false;
        this.#state = 4;
        continue;
      }
      const end = this.#copy(code);
      if (end !== undefined) return end;
    }
  }

  /** Copies earlier output, then the literals after it; undefined to continue, otherwise the result. */
  #copy(code: number): boolean | undefined {
    let size: number;
    let distance: number;
    let carried = code & 3;
    if (code >= 64) {
      size = code >= 128 ? (code >>> 5 & 3) + 5 : (code >>> 5 & 1) + 3;
      distance = (this.#byte() << 3) + (code >>> 2 & 7) + 1;
    } else if (code >= 16) {
      size = (code >= 32 ? this.#length(code & 31, 31) : this.#length(code & 7, 7)) + 2;
      const low = this.#byte();
      const word = this.#byte() << 8 | low;
      carried = word & 3;
      distance = word >>> 2;
      if (code >= 32) distance += 1;
      else {
        distance += 16_384 + ((code & 8) << 11);
        if (distance === 16_384) return this.#at === this.#input.length && this.#out === this.#into.length;
      }
    } else {
      size = this.#state === 4 ? 3 : 2;
      distance = (this.#byte() << 2) + (code >>> 2) + (this.#state === 4 ? 2049 : 1);
    }
    const into = this.#into;
    const end = this.#out + size;
    if (this.#at > this.#input.length || distance > this.#out || end > into.length) return false;
    // Byte by byte, because a copy may overlap its own output.
    for (; this.#out < end; this.#out++) into[this.#out] = into[this.#out - distance] as number;
    this.#state = carried;
    return this.#literals(carried) ? undefined : false;
  }

  /** Past the end it returns {@linkcode BAD}, and the position shows it. */
  #byte(): number {
    return this.#input[this.#at++] ?? BAD;
  }

  /** A length that exceeds its bits: each zero counts 255, and another byte ends them. */
  #length(bits: number, most: number): number {
    if (bits !== 0) return bits;
    let size = most;
    let byte = this.#byte();
    for (; byte === 0; byte = this.#byte()) size += 255;
    return size + byte;
  }

  #literals(size: number): boolean {
    const { length } = this.#input;
    if (this.#at + size > length || this.#out + size > this.#into.length) return false;
    this.#into.set(this.#input.subarray(this.#at, this.#at + size), this.#out);
    this.#at += size;
    this.#out += size;
    return true;
  }
}
