/**
 * Packs a small picture as a PNG, again and again as it changes. Only strips of rows that changed are packed
 * anew: each is a chunk of its own that ends at a byte and refers to nothing before it.
 *
 * Screens of text, and most others made so small, have few colours. Up to 16 or 256 of them are packed as
 * indexes of a palette, four or eight bits a pixel; with more, each pixel is red, green and blue. The fewer
 * bytes there are to pack, the less time that takes: for a screen full of random letters 0.6 ms, where 24
 * bits a pixel and zlib's third level take 2 ms (1280x800 as 320x200).
 * @module
 */
import { Buffer } from "node:buffer";
import { constants, deflateRawSync } from "node:zlib";
import { assert } from "../base/assert.ts";
import { PNG_SIGNATURE, pngChunk, pngHeader } from "../vgpu/png_writer.ts";
import { Adler32 } from "./adler32.ts";

/** Rows that are packed together. */
const STRIP_ROWS = 32;
/** Strips are short: with as much memory as a long stream wants, clearing it is half of the work. */
const PACKING = { level: 1, windowBits: 13, memLevel: 7, finishFlush: constants.Z_FULL_FLUSH };
/** What a zlib stream begins with (RFC 1950): deflate, a window of 32 KiB, the quickest level. */
const ZLIB_HEAD = [0x78, 0x01];
/** Its last block, which is empty. */
const LAST_BLOCK = [0x03, 0x00];
const LONGEST_PALETTE = 256;
/** Places of the table that finds a colour's index: a power of two, four times the colours. */
const PLACES = 4 * LONGEST_PALETTE;
/** 2^32 times the golden ratio: it spreads colours that differ little over the table. */
const SPREAD = 0x9e3779b1;
const PLACE_SHIFT = 32 - Math.log2(PLACES);

/** Bits of a pixel. */
type Depth = 4 | 8 | 24;

/** Rows that were packed. */
interface Strip {
  readonly chunk: Uint8Array;
  readonly sum: Adler32;
}

/** The colours of a picture, each with an index that it keeps. */
class Palette {
  /** Colours by index, 0xRRGGBB. */
  readonly colours: number[] = [];
  readonly #keys = new Int32Array(PLACES).fill(-1);
  readonly #indexes = new Uint8Array(PLACES);

  /** A colour's index, which it gets when it has none; -1: there are 256 others. */
  indexOf(colour: number): number {
    const keys = this.#keys;
    let place = Math.imul(colour, SPREAD) >>> PLACE_SHIFT;
    for (let key = keys[place]; key !== -1; key = keys[place]) {
      if (key === colour) return this.#indexes[place] as number;
      place = (place + 1) % PLACES;
    }
    const index = this.colours.length;
    if (index === LONGEST_PALETTE) return -1;
    this.colours.push(colour);
    keys[place] = colour;
    this.#indexes[place] = index;
    return index;
  }
}

/** A PNG of one size. */
export class ThumbnailPng {
  readonly #columns: number;
  readonly #rows: number;
  /** How it was packed last. */
  readonly #strips: (Strip | undefined)[];
  #depth: Depth = 4;
  #palette = new Palette();
  readonly #raw: Uint8Array;

  /** Nothing is packed yet. */
  constructor(columns: number, rows: number) {
    assert(columns >= 1 && rows >= 1, "a picture has a size");
    this.#columns = columns;
    this.#rows = rows;
    this.#strips = new Array(Math.ceil(rows / STRIP_ROWS)).fill(undefined);
    this.#raw = new Uint8Array((1 + 3 * columns) * Math.min(rows, STRIP_ROWS));
  }

  /** A row has changed. */
  touch(row: number): void {
    assert(row >= 0 && row < this.#rows, "a row is the picture's");
    this.#strips[Math.floor(row / STRIP_ROWS)] = undefined;
  }

  /**
   * Packs what has changed.
   *
   * @param words 0xRRGGBB, row by row: the same as the last time, but in rows that were touched
   * @returns a PNG file (RFC 2083)
   */
  pack(words: Int32Array): Uint8Array<ArrayBuffer> {
    assert(words.length === this.#columns * this.#rows, "a picture is packed whole");
    // Another screen altogether: it may have fewer colours.
    if (this.#strips.every((strip) => strip === undefined)) this.#begin(4);
    let strips = this.#packed(words);
    while (strips === undefined) {
      this.#begin(this.#depth === 4 ? 8 : 24);
      strips = this.#packed(words);
    }
    const isIndexed = this.#depth !== 24;
    const parts = [
      PNG_SIGNATURE,
      pngHeader(this.#columns, this.#rows, isIndexed ? { indexBits: this.#depth as 4 | 8 } : 3),
      ...isIndexed ? [pngChunk("PLTE", this.#colours())] : [],
      pngChunk("IDAT", Uint8Array.from(ZLIB_HEAD)),
    ];
    let sum = new Adler32();
    for (const strip of strips) {
      parts.push(strip.chunk);
      sum = sum.followedBy(strip.sum);
    }
    const end = new Uint8Array(LAST_BLOCK.length + 4);
    end.set(LAST_BLOCK);
    new DataView(end.buffer).setUint32(LAST_BLOCK.length, sum.value);
    parts.push(pngChunk("IDAT", end), pngChunk("IEND", new Uint8Array(0)));
    return new Uint8Array(Buffer.concat(parts));
  }

  /** All is packed anew, at another depth. */
  #begin(depth: Depth): void {
    this.#depth = depth;
    this.#palette = new Palette();
    this.#strips.fill(undefined);
  }

  #colours(): Uint8Array {
    const { colours } = this.#palette;
    return Uint8Array.from(
      colours.flatMap((colour) => [colour >>> 16 & 0xff, colour >>> 8 & 0xff, colour & 0xff]),
    );
  }

  /** All strips; undefined when there are more colours than the depth has room for. */
  #packed(words: Int32Array): readonly Strip[] | undefined {
    const strips: Strip[] = [];
    for (let i = 0; i < this.#strips.length; i++) {
      const strip = this.#strips[i] ??= this.#pack(i, words);
      if (strip === undefined) return undefined;
      strips.push(strip);
    }
    return strips;
  }

  #pack(strip: number, words: Int32Array): Strip | undefined {
    const columns = this.#columns;
    const top = strip * STRIP_ROWS;
    const rows = Math.min(this.#rows - top, STRIP_ROWS);
    const line = 1 + Math.ceil(columns * this.#depth / 8);
    const raw = this.#raw.subarray(0, line * rows);
    const from = words.subarray(top * columns, (top + rows) * columns);
    if (this.#depth === 24) writeColours(from, columns, raw);
    else if (!this.#writeIndexes(from, raw, line, this.#depth)) return undefined;
    return { chunk: pngChunk("IDAT", deflateRawSync(raw, PACKING)), sum: Adler32.of(raw) };
  }

  /** Writes rows of indexes; false when there are more colours than such indexes. */
  #writeIndexes(words: Int32Array, raw: Uint8Array, line: number, bits: 4 | 8): boolean {
    const most = 2 ** bits;
    let [last, index] = [-1, 0];
    const indexOf = (colour: number): number => {
      if (colour === last) return index;
      last = colour;
      return index = this.#palette.indexOf(colour);
    };
    const columns = this.#columns;
    for (let at = 0, to = 0; at < words.length; to += line) {
      raw[to] = 0;
      const end = at + columns;
      for (let byte = to + 1; at < end; byte++) {
        let packed = indexOf(words[at++] as number);
        if (packed < 0 || packed >= most) return false;
        if (bits === 4) {
          const next = at < end ? indexOf(words[at++] as number) : 0;
          if (next < 0 || next >= most) return false;
          packed = packed << 4 | next;
        }
        raw[byte] = packed;
      }
    }
    return true;
  }
}

/** Writes rows of red, green and blue, each behind a byte that says that it is not filtered. */
function writeColours(words: Int32Array, columns: number, raw: Uint8Array): void {
  for (let from = 0, at = 0; from < words.length;) {
    raw[at++] = 0;
    for (const end = from + columns; from < end; from++) {
      const word = words[from] as number;
      raw[at++] = word >>> 16;
      raw[at++] = word >>> 8;
      raw[at++] = word;
    }
  }
}
