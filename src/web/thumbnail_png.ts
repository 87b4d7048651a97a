/**
 * Compresses a thumbnail as a PNG, repeatedly as it changes. Only strips of rows that changed are compressed
 * again: each is a deflate segment of its own that ends on a byte boundary and refers to nothing before it.
 *
 * Most screens of text, and others at this size, have few colours. Up to 16 or 256 colours are stored as
 * palette indices of four or eight bits per pixel; with more, each pixel is red, green and blue. Fewer bytes
 * take less time: a screen full of random letters takes 0.6 ms, but 2 ms with 24 bits per pixel and zlib
 * level 3 (1280x800 as 320x200).
 * @module
 */
import { Buffer } from "node:buffer";
import { constants, deflateRawSync } from "node:zlib";
import { assert } from "../base/assert.ts";
import { PNG_SIGNATURE, pngChunk, pngHeader } from "../vgpu/png_writer.ts";
import { Adler32 } from "./adler32.ts";

/** Rows per strip. */
const STRIP_ROWS = 32;
/** Strips are short: with the memory level for long streams, clearing it would be half of the work. */
const PACKING = { level: 1, windowBits: 13, memLevel: 7, finishFlush: constants.Z_FULL_FLUSH };
/** Header of a zlib stream (RFC 1950): deflate, a window of 32 KiB, the fastest level. */
const ZLIB_HEAD = [0x78, 0x01];
/** The final block, which is empty. */
const LAST_BLOCK = [0x03, 0x00];
const LONGEST_PALETTE = 256;
/** Size of the hash table of colours: a power of two, four times the number of colours. */
const PLACES = 4 * LONGEST_PALETTE;
/** 2^32 times the golden ratio: distributes similar colours over the table. */
const SPREAD = 0x9e3779b1;
const PLACE_SHIFT = 32 - Math.log2(PLACES);

/** Bits per pixel. */
type Depth = 4 | 8 | 24;

/** Compressed rows. */
interface Strip {
  readonly chunk: Uint8Array;
  readonly sum: Adler32;
}

/** The colours of a picture, each with a permanent index. */
class Palette {
  /** Colours by index, 0xRRGGBB. */
  readonly colours: number[] = [];
  readonly #keys = new Int32Array(PLACES).fill(-1);
  readonly #indexes = new Uint8Array(PLACES);

  /** A colour's index, assigned if it has none; -1: all 256 are in use. */
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
  /** The previous depth. */
  readonly #strips: (Strip | undefined)[];
  #depth: Depth = 4;
  #palette = new Palette();
  readonly #raw: Uint8Array;

  /** Starts without compressed rows. */
  constructor(columns: number, rows: number) {
    assert(columns >= 1 && rows >= 1, "a picture has a size");
    this.#columns = columns;
    this.#rows = rows;
    this.#strips = new Array(Math.ceil(rows / STRIP_ROWS)).fill(undefined);
    this.#raw = new Uint8Array((1 + 3 * columns) * Math.min(rows, STRIP_ROWS));
  }

  /** Marks a row as changed. */
  touch(row: number): void {
    assert(row >= 0 && row < this.#rows, "a row is the picture's");
    this.#strips[Math.floor(row / STRIP_ROWS)] = undefined;
  }

  /**
   * Compresses the changes.
   *
   * @param words 0xRRGGBB, row by row: unchanged since the last call except in marked rows
   * @returns a PNG file (RFC 2083)
   */
  pack(words: Int32Array): Uint8Array<ArrayBuffer> {
    assert(words.length === this.#columns * this.#rows, "a picture is packed whole");
    // The whole screen has changed: it may have fewer colours.
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

  /** Compresses everything again at another depth. */
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

  /** All strips; undefined when there are more colours than the depth allows. */
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

  /** Writes rows of indices; false when there are more colours than the index allows. */
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

/** Writes rows of red, green and blue, each preceded by a byte for "no filter". */
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
