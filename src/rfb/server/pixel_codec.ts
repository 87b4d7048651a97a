/**
 * Pixels of a picture (0x00RRGGBB) as a viewer wants them. A viewer that wants a map of colours gets one of
 * 256, made of three bits of red and green and two of blue.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { PixelFormat } from "../pixel_format.ts";

/** The colours behind the numbers that a viewer with a map gets. */
export const MAPPED: PixelFormat = {
  bitsPerPixel: 8,
  depth: 8,
  bigEndian: false,
  trueColour: true,
  max: [7, 7, 3],
  shift: [0, 3, 6],
};

/** Where a pixel's bytes go. */
export interface PixelSink {
  /** The bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where the next one goes. */
  at: number;
}

/** How the pixels of one format are written. */
export class PixelCodec {
  /** Bytes of a pixel. */
  readonly pixelBytes: number;
  /** Bytes of one within ZRLE: the byte of a 32-bit pixel that has no colour is left out. */
  readonly compactBytes: number;
  /** Whether Tight sends a pixel as three bytes, red first. */
  readonly isTightRgb: boolean;
  /** Whether a pixel's bytes are those of the picture. */
  readonly #isSame: boolean;
  readonly #red: Int32Array;
  readonly #green: Int32Array;
  readonly #blue: Int32Array;
  readonly #bigEndian: boolean;
  /** Of a compact pixel: how far its value is shifted down. */
  readonly #compactShift: number;

  /** The codec of a format, which has been checked. */
  constructor(format: PixelFormat) {
    const { bitsPerPixel, depth, bigEndian, max, shift } = format.trueColour ? format : MAPPED;
    this.pixelBytes = bitsPerPixel / 8;
    this.#bigEndian = bigEndian;
    const [red, green, blue] = [0, 1, 2].map((i) => channel(max[i] as number, shift[i] as number));
    assert(red !== undefined && green !== undefined && blue !== undefined, "a pixel has three colours");
    this.#red = red;
    this.#green = green;
    this.#blue = blue;
    const used = (red[255] as number) | (green[255] as number) | (blue[255] as number);
    const isLow = (used & 0xff00_0000) === 0;
    const isCompact = bitsPerPixel === 32 && depth <= 24 && (isLow || (used & 0xff) === 0);
    this.compactBytes = isCompact ? 3 : this.pixelBytes;
    this.#compactShift = isCompact && !isLow ? 8 : 0;
    const isWhole = max.every((most) => most === 255);
    this.isTightRgb = bitsPerPixel === 32 && depth === 24 && isWhole;
    this.#isSame = this.isTightRgb && !bigEndian && shift[0] === 16 && shift[1] === 8 && shift[2] === 0;
  }

  /** Writes one pixel as it stands in raw rectangles. */
  pixel(sink: PixelSink, word: number): void {
    this.#write(sink, this.#value(word), this.pixelBytes);
  }

  /** Writes one as ZRLE has it. */
  compact(sink: PixelSink, word: number): void {
    this.#write(sink, this.#value(word) >>> this.#compactShift, this.compactBytes);
  }

  /** Writes one as Tight has it. */
  tight(sink: PixelSink, word: number): void {
    if (!this.isTightRgb) return this.pixel(sink, word);
    const { bytes } = sink;
    bytes[sink.at++] = word >>> 16;
    bytes[sink.at++] = word >>> 8;
    bytes[sink.at++] = word;
  }

  /** Writes words from `from` to `to` as {@linkcode pixel} does. */
  row(sink: PixelSink, words: Int32Array<ArrayBuffer>, from: number, to: number): void {
    if (this.#isSame) {
      const length = 4 * (to - from);
      sink.bytes.set(new Uint8Array(words.buffer, words.byteOffset + 4 * from, length), sink.at);
      sink.at += length;
      return;
    }
    for (let i = from; i < to; i++) this.pixel(sink, words[i] as number);
  }

  #value(word: number): number {
    return (this.#red[word >>> 16 & 255] as number) | (this.#green[word >>> 8 & 255] as number) |
      (this.#blue[word & 255] as number);
  }

  #write(sink: PixelSink, value: number, length: number): void {
    const { bytes } = sink;
    const at = sink.at;
    sink.at += length;
    if (this.#bigEndian) { for (let i = 0; i < length; i++) bytes[at + i] = value >>> 8 * (length - 1 - i); }
    else for (let i = 0; i < length; i++) bytes[at + i] = value >>> 8 * i;
  }
}

/** The bits of each value of a colour. */
function channel(max: number, shift: number): Int32Array {
  const bits = Math.log2(max + 1);
  return Int32Array.from({ length: 256 }, (_, value) => {
    const scaled = bits <= 8 ? value >>> (8 - bits) : Math.round(value * max / 255);
    return scaled << shift;
  });
}
