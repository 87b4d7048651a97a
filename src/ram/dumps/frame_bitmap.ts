/**
 * One bit per page, as in kdump's headers: which pages exist, which were dumped, and how many were dumped
 * before a page (its index in the table of pages).
 * @module
 */

const BITS = 32;
/** Words per running count. */
const GROUP = 16;

/** A bitmap of frames. */
export class FrameBitmap {
  /** Number of frames. */
  readonly frames: number;
  /** Number of set bits. */
  readonly count: number;
  readonly #words: Int32Array;
  /** Bits set before each group of words. */
  readonly #before: Uint32Array;

  /**
   * Counts the bits.
   *
   * @param bytes the whole bitmap; bit 0 of the first byte is frame 0
   * @param frames number of frames; the rest is ignored
   */
  constructor(bytes: Uint8Array<ArrayBuffer>, frames: number) {
    this.frames = frames;
    const words = new Int32Array(Math.ceil(frames / BITS));
    new Uint8Array(words.buffer).set(bytes.subarray(0, Math.ceil(frames / 8)));
    const rest = frames % BITS;
    if (rest !== 0) words[words.length - 1] = (words[words.length - 1] as number) & ~(-1 << rest);
    this.#words = words;
    this.#before = new Uint32Array(Math.ceil(words.length / GROUP) + 1);
    let count = 0;
    for (let i = 0; i < words.length; i++) {
      if (i % GROUP === 0) this.#before[i / GROUP] = count;
      count += bitsOf(words[i] as number);
    }
    this.count = count;
  }

  /** Whether a frame's bit is set. */
  has(frame: number): boolean {
    return frame >= 0 && frame < this.frames &&
      ((this.#words[frame >>> 5] as number) >>> (frame & 31) & 1) === 1;
  }

  /** Number of set bits below a frame's. */
  rank(frame: number): number {
    const word = frame >>> 5;
    let count = this.#before[Math.floor(word / GROUP)] as number;
    for (let i = word - word % GROUP; i < word; i++) count += bitsOf(this.#words[i] as number);
    return count + bitsOf((this.#words[word] as number) & ~(-1 << (frame & 31)));
  }

  /**
   * The next frame with a given bit.
   *
   * @param from first frame
   * @param end end of the frames
   * @param wanted set or clear
   * @returns the frame, or `end`
   */
  next(from: number, end: number, wanted: boolean): number {
    const flip = wanted ? 0 : -1;
    for (let frame = from; frame < end;) {
      const rest = frame >= this.frames
        ? (wanted ? 0 : -1)
        : ((this.#words[frame >>> 5] as number) ^ flip) >>> (frame & 31);
      if (rest !== 0) return Math.min(end, frame + 31 - Math.clz32(rest & -rest));
      frame = frame >= this.frames ? end : (frame | 31) + 1;
    }
    return end;
  }
}

function bitsOf(word: number): number {
  let n = word - (word >>> 1 & 0x5555_5555);
  n = (n & 0x3333_3333) + (n >>> 2 & 0x3333_3333);
  return Math.imul(n + (n >>> 4) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
