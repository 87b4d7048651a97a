/**
 * The pages of a guest's RAM that the host is known to hold: one bit per frame. Below the end of the linear
 * view it is one array, which the batch reader reads directly; above, one array per GiB, only where pages are
 * held.
 * @module
 */

/** Words of the bitmap of one GiB. */
const GIB_WORDS = (1 << 18) / 32;

/** The bitmap. */
export class HeldPages {
  /** The bits of the frames from 0 on; {@linkcode next} and the others also cover the frames above. */
  readonly low: Int32Array;
  readonly #above: Map<number, Int32Array> = new Map();

  /**
   * Starts without held pages.
   *
   * @param lowFrames number of frames in {@linkcode low}
   */
  constructor(lowFrames: number) {
    this.low = new Int32Array(Math.ceil(lowFrames / 32));
  }

  /** 32 bits of it; `word` is a frame number / 32. */
  word(word: number): number {
    if (word < this.low.length) return this.low[word] as number;
    return this.#above.get(word >>> 13)?.[word & 0x1fff] ?? 0;
  }

  /** Marks the frames in [from, to) as held. */
  mark(from: number, to: number): void {
    for (let frame = from; frame < to;) {
      const whole = (frame & 31) === 0 && to - frame >= 32;
      this.#set(frame >>> 5, whole ? -1 : 1 << (frame & 31));
      frame += whole ? 32 : 1;
    }
  }

  /** First frame in [from, to) whose bit is `wanted`, or `to`; whole words are skipped at once. */
  next(from: number, to: number, wanted: 0 | 1): number {
    const dull = wanted === 1 ? 0 : -1;
    for (let frame = from; frame < to;) {
      const word = this.word(frame >>> 5);
      if (word === dull) frame += 32 - (frame & 31);
      else if ((word >>> (frame & 31) & 1) === wanted) return frame;
      else frame++;
    }
    return to;
  }

  /** Clears all bits. */
  clear(): void {
    this.low.fill(0);
    this.#above.clear();
  }

  #set(word: number, bits: number): void {
    if (word < this.low.length) {
      this.low[word] = (this.low[word] as number) | bits;
      return;
    }
    let above = this.#above.get(word >>> 13);
    if (above === undefined) this.#above.set(word >>> 13, above = new Int32Array(GIB_WORDS));
    above[word & 0x1fff] = (above[word & 0x1fff] as number) | bits;
  }
}
