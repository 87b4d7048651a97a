/**
 * The colours of a part of a picture, as long as they are few, numbered in the order in which they come.
 * @module
 */

/** Colours of a palette at most: Tight's. */
const MOST = 256;
const BUCKETS = 1024;
const SPREAD = 0x9e37_79b1;

/**
 * A palette that is filled again and again without being cleared: its places carry the number of the filling.
 */
export class Palette {
  /** How many colours it has. */
  size = 0;
  /** The colours by their numbers. */
  readonly words: Int32Array<ArrayBuffer> = new Int32Array(MOST);
  readonly #colour = new Int32Array(BUCKETS);
  readonly #index = new Uint8Array(BUCKETS);
  readonly #filling = new Int32Array(BUCKETS);
  #current = 0;

  /** Forgets all colours. */
  clear(): void {
    this.size = 0;
    this.#current = (this.#current + 1) | 0;
  }

  /**
   * The number of a colour, which is taken in when it is new.
   *
   * @param most colours that it may have
   * @returns -1 when it is new and there is no room
   */
  add(word: number, most: number): number {
    let bucket = Math.imul(word, SPREAD) >>> 22;
    while (this.#filling[bucket] === this.#current) {
      if (this.#colour[bucket] === word) return this.#index[bucket] as number;
      bucket = (bucket + 1) & (BUCKETS - 1);
    }
    if (this.size >= most) return -1;
    this.#filling[bucket] = this.#current;
    this.#colour[bucket] = word;
    this.#index[bucket] = this.size;
    this.words[this.size] = word;
    return this.size++;
  }
}
