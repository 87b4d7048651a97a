/**
 * A small picture of a screen, kept up to date, as a PNG. It is made for a wall of many, where most of a
 * screen stays as it is from one second to the next: only where a frame changed it is scaled (each pixel is
 * the mean of four of its box), and only strips of rows that look different are packed anew. The PNG is put
 * together of the strips, each a chunk of its own that ends at a byte and refers to nothing before it.
 *
 * Measured for 1280x800: two lines of text 0.2 ms, all of it 2 ms, where scaling it properly and packing it
 * well took ten.
 * @module
 */
import { Buffer } from "node:buffer";
import { constants, deflateRawSync } from "node:zlib";
import { assert } from "../base/assert.ts";
import type { FramePixels, Rect } from "../rfb/server/rfb_server.ts";
import { PNG_SIGNATURE, pngChunk, pngHeader } from "../vgpu/png_writer.ts";
import { Adler32 } from "./adler32.ts";

/** Rows that are packed together. */
const STRIP_ROWS = 16;
/** Strips are short: with as much memory as a long stream wants, clearing it is half of the work. */
const PACKING = { level: 3, windowBits: 13, memLevel: 7 };
/** What a zlib stream begins with (RFC 1950): deflate, a window of 32 KiB, the quickest level. */
const ZLIB_HEAD = [0x78, 0x01];
/** Its last block, which is empty. */
const LAST_BLOCK = [0x03, 0x00];

/** Rows that were packed. */
interface Strip {
  readonly chunk: Uint8Array;
  readonly sum: Adler32;
}

/** How a frame becomes a small picture. */
interface Scale {
  /** The frame's pixels in a row. */
  readonly width: number;
  /** The frame's rows. */
  readonly height: number;
  /** Pixels of a box's side. */
  readonly box: number;
  /** Pixels in a row of the small picture. */
  readonly columns: number;
  /** Its rows. */
  readonly rows: number;
}

/** Rows that were read and do not count yet: one for all pictures, which are read one at a time. */
let scratch = new Uint8Array(0);
let scratchOwner: ThumbnailPicture | undefined;

/** A small picture. */
export class ThumbnailPicture {
  readonly #side: number;
  #scale: Scale | undefined;
  /** Its rows: a byte that says that they are not filtered, then their pixels. */
  #raw = new Uint8Array(0);
  #strips: (Strip | undefined)[] = [];
  /** The rows that are in the scratch. */
  #read: { readonly scale: Scale; readonly top: number; readonly bottom: number } | undefined;

  /** One without a picture. @param side pixels of its longer side, about: at most half as many more */
  constructor(side: number) {
    assert(side >= 1, "a picture has a size");
    this.#side = side;
  }

  /**
   * Reads what it needs of a frame, whose pixels may change meanwhile: nothing counts before
   * {@linkcode update}, and it may be read again instead.
   *
   * @param part where it may differ from the frame that counted last
   */
  read(frame: FramePixels, part: Rect): void {
    const { words, stride, width, height } = frame;
    assert(words.length >= (height - 1) * stride + width, "a frame has all of its pixels");
    const known = this.#scale;
    const isSame = known?.width === width && known.height === height;
    const scale = isSame ? known : scaleOf(width, height, this.#side);
    const { box, columns, rows } = scale;
    const top = isSame ? Math.min(rows, Math.floor(part.y / box)) : 0;
    const bottom = isSame ? Math.min(rows, Math.ceil((part.y + part.height) / box)) : rows;
    const line = 1 + 3 * columns;
    if (scratch.length < line * rows) scratch = new Uint8Array(line * rows);
    scratchOwner = this;
    this.#read = { scale, top, bottom };
    // Four pixels of each box; a side that is shorter than a box has one box.
    const [near, far] = [box >> 2, Math.max(0, box - 1 - (box >> 2))];
    const [nearX, farX] = [Math.min(near, width - 1), Math.min(far, width - 1)];
    const [nearY, farY] = [Math.min(near, height - 1), Math.min(far, height - 1)];
    const to = scratch;
    for (let row = top; row < bottom; row++) {
      let at = row * line;
      to[at++] = 0;
      let a = (row * box + nearY) * stride + nearX;
      let b = (row * box + farY) * stride + nearX;
      const next = farX - nearX;
      for (let column = 0; column < columns; column++, a += box, b += box) {
        const upper = meanOf(words[a] as number, words[a + next] as number);
        const mean = meanOf(upper, meanOf(words[b] as number, words[b + next] as number));
        to[at++] = mean >>> 16;
        to[at++] = mean >>> 8;
        to[at++] = mean;
      }
    }
  }

  /** What was read last counts. @returns whether the picture looks different now */
  update(): boolean {
    const read = this.#read;
    assert(read !== undefined && scratchOwner === this, "what counts was read last");
    this.#read = undefined;
    const { scale, top, bottom } = read;
    const line = 1 + 3 * scale.columns;
    if (scale !== this.#scale) {
      this.#scale = scale;
      this.#raw = scratch.slice(0, line * scale.rows);
      this.#strips = new Array(Math.ceil(scale.rows / STRIP_ROWS));
      return true;
    }
    let isOther = false;
    for (let row = top; row < bottom; row++) {
      const [start, end] = [row * line, (row + 1) * line];
      if (isSame(this.#raw, scratch, start, end)) continue;
      this.#raw.set(scratch.subarray(start, end), start);
      this.#strips[Math.floor(row / STRIP_ROWS)] = undefined;
      isOther = true;
    }
    return isOther;
  }

  /** It as a PNG file (RFC 2083). */
  png(): Uint8Array<ArrayBuffer> {
    const scale = this.#scale;
    assert(scale !== undefined, "a picture was read before it is shown");
    const parts = [
      PNG_SIGNATURE,
      pngHeader(scale.columns, scale.rows, 3),
      pngChunk("IDAT", Uint8Array.from(ZLIB_HEAD)),
    ];
    let sum = new Adler32();
    for (let i = 0; i < this.#strips.length; i++) {
      const strip = this.#strips[i] ??= this.#pack(i, scale);
      parts.push(strip.chunk);
      sum = sum.followedBy(strip.sum);
    }
    const end = new Uint8Array(LAST_BLOCK.length + 4);
    end.set(LAST_BLOCK);
    new DataView(end.buffer).setUint32(LAST_BLOCK.length, sum.value);
    parts.push(pngChunk("IDAT", end), pngChunk("IEND", new Uint8Array(0)));
    return new Uint8Array(Buffer.concat(parts));
  }

  #pack(strip: number, { columns, rows }: Scale): Strip {
    const line = 1 + 3 * columns;
    const [top, bottom] = [strip * STRIP_ROWS, Math.min(rows, (strip + 1) * STRIP_ROWS)];
    const raw = this.#raw.subarray(top * line, bottom * line);
    // A full flush: it ends at a byte, and what follows does not look back.
    const packed = deflateRawSync(raw, { ...PACKING, finishFlush: constants.Z_FULL_FLUSH });
    return { chunk: pngChunk("IDAT", packed), sum: Adler32.of(raw) };
  }
}

/** The mean of each of three bytes, without a carry between them. */
function meanOf(one: number, two: number): number {
  return (one & two) + (((one ^ two) & 0xfefefe) >>> 1);
}

function scaleOf(width: number, height: number, side: number): Scale {
  const box = Math.max(1, Math.round(Math.max(width, height) / side));
  const columns = Math.max(1, Math.floor(width / box));
  return { width, height, box, columns, rows: Math.max(1, Math.floor(height / box)) };
}

function isSame(one: Uint8Array, two: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (one[i] !== two[i]) return false;
  return true;
}
