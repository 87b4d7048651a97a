/**
 * Bytes that are written one value behind another, of whatever length in the end: what the writers of wire
 * formats keep. Room is made before the place is looked up, in one function: making it exchanges the memory,
 * and a value that was written to the one before would be lost.
 * @module
 */
const FIRST_BYTES = 256;

/** The bytes. */
export class GrowingBytes {
  #bytes = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** How many there are. */
  get length(): number {
    return this.#length;
  }

  /** A copy of them. */
  copy(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  /** Adds zeros. */
  zeros(count: number): void {
    this.#claim(count);
  }

  /** Adds a byte. */
  u8(value: number): void {
    const at = this.#claim(1);
    this.#bytes[at] = value;
  }

  /** Adds a word of 32 bits, signed or not. */
  u32(value: number, isLittleEndian: boolean): void {
    this.setU32(this.#claim(4), value, isLittleEndian);
  }

  /** Adds bytes. */
  append(bytes: Uint8Array): void {
    const at = this.#claim(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Writes a word of 32 bits over four bytes that are there. @param at where they begin */
  setU32(at: number, value: number, isLittleEndian: boolean): void {
    this.#view.setUint32(at, value, isLittleEndian);
  }

  /** Adds zeros; where they begin. What was never claimed is zero. */
  #claim(count: number): number {
    const at = this.#length;
    this.#length = at + count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}
