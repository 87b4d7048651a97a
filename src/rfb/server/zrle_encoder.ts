/**
 * ZRLE (RFC 6143, 7.7.6): tiles of 64x64, each as one colour, as numbers in a palette, as runs, or as pixels,
 * whatever is shortest; all tiles of a rectangle in one piece of the viewer's one zlib stream. The stream's
 * head is put in front of a viewer's first rectangle by whoever sends it ({@linkcode zrleRect}).
 * @module
 */
import { ENCODING } from "../protocol.ts";
import { compressPiece, STREAM_HEAD } from "./compress.ts";
import type { Rect } from "./dirty_tiles.ts";
import { Palette } from "./palette.ts";
import type { PixelCodec } from "./pixel_codec.ts";
import { type EncodedRect, type RectEncoder, Scratch } from "./rect_encoder.ts";
import type { SharedPicture } from "./shared_picture.ts";

const TILE_SIDE = 64;
/** Colours of a palette with runs. */
const MOST_COLOURS = 127;
/** Colours of a palette whose numbers are packed into bits. */
const MOST_PACKED = 16;
const RUN_BIT = 128;

/** The encoder. */
export class ZrleEncoder implements RectEncoder {
  readonly #codec: PixelCodec;
  readonly #level: number;
  readonly #palette = new Palette();
  readonly #scratch = new Scratch();
  /** A tile's pixels, without gaps. */
  readonly #tile = new Int32Array(TILE_SIDE * TILE_SIDE);

  /** Of one format of pixels. @param level zlib's, 1 to 9 */
  constructor(codec: PixelCodec, level: number) {
    this.#codec = codec;
    this.#level = level;
  }

  encode(picture: SharedPicture, rect: Rect): EncodedRect {
    const tiles = Math.ceil(rect.width / TILE_SIDE) * Math.ceil(rect.height / TILE_SIDE);
    // A tile is at most its pixels and its type: what would be longer is not chosen.
    this.#scratch.begin(rect.width * rect.height * this.#codec.compactBytes + tiles);
    for (let y = 0; y < rect.height; y += TILE_SIDE) {
      for (let x = 0; x < rect.width; x += TILE_SIDE) {
        this.#tileOf(picture, {
          x: rect.x + x,
          y: rect.y + y,
          width: Math.min(TILE_SIDE, rect.width - x),
          height: Math.min(TILE_SIDE, rect.height - y),
        });
      }
    }
    const piece = compressPiece(this.#scratch.written, this.#level);
    return { encoding: ENCODING.ZRLE, bytes: withLength(piece, new Uint8Array(0)) };
  }

  #tileOf({ words, width }: SharedPicture, tile: Rect): void {
    const pixels = this.#tile;
    const palette = this.#palette;
    palette.clear();
    const count = tile.width * tile.height;
    let at = 0;
    let before = -1;
    let runs = 0;
    let runBytes = 0;
    let runLength = 0;
    let hasPalette = true;
    for (let y = tile.y; y < tile.y + tile.height; y++) {
      for (let i = y * width + tile.x, end = i + tile.width; i < end; i++) {
        const word = words[i] as number;
        pixels[at++] = word;
        if (word === before) {
          runLength++;
          continue;
        }
        if (runLength > 1) runBytes += Math.floor((runLength - 1) / 255) + 1;
        before = word;
        runLength = 1;
        runs++;
        if (hasPalette) hasPalette = palette.add(word, MOST_COLOURS) >= 0;
      }
    }
    if (runLength > 1) runBytes += Math.floor((runLength - 1) / 255) + 1;
    this.#choose(tile, count, { hasPalette, runs, runBytes });
  }

  #choose(
    tile: Rect,
    count: number,
    { hasPalette, runs, runBytes }: {
      readonly hasPalette: boolean;
      readonly runs: number;
      readonly runBytes: number;
    },
  ): void {
    const { compactBytes } = this.#codec;
    const { size } = this.#palette;
    if (hasPalette && size === 1) return this.#solid();
    const plain = count * compactBytes;
    // A run of one has its length beside its colour here, and not where there is a palette.
    const plainRuns = runs * (compactBytes + 1) + runBytes;
    const palette = size * compactBytes;
    const paletteRuns = hasPalette ? palette + runs + runBytes : Infinity;
    const packed = hasPalette && size <= MOST_PACKED
      ? palette + tile.height * Math.ceil(tile.width * bitsOf(size) / 8)
      : Infinity;
    const best = Math.min(plain, plainRuns, paletteRuns, packed);
    if (best === packed) this.#packed(tile);
    else if (best === paletteRuns) this.#runs(count, true);
    else if (best === plainRuns) this.#runs(count, false);
    else this.#plain(count);
  }

  #solid(): void {
    const scratch = this.#scratch;
    scratch.bytes[scratch.at++] = 1;
    this.#codec.compact(scratch, this.#palette.words[0] as number);
  }

  #plain(count: number): void {
    const scratch = this.#scratch;
    scratch.bytes[scratch.at++] = 0;
    for (let i = 0; i < count; i++) this.#codec.compact(scratch, this.#tile[i] as number);
  }

  #colours(): void {
    const { size, words } = this.#palette;
    for (let i = 0; i < size; i++) this.#codec.compact(this.#scratch, words[i] as number);
  }

  #packed({ width, height }: Rect): void {
    const scratch = this.#scratch;
    const { size } = this.#palette;
    const bits = bitsOf(size);
    scratch.bytes[scratch.at++] = size;
    this.#colours();
    for (let y = 0, i = 0; y < height; y++) {
      let byte = 0;
      let filled = 0;
      for (let x = 0; x < width; x++) {
        byte = byte << bits | this.#palette.add(this.#tile[i++] as number, MOST_PACKED);
        filled += bits;
        if (filled < 8) continue;
        scratch.bytes[scratch.at++] = byte;
        byte = filled = 0;
      }
      if (filled > 0) scratch.bytes[scratch.at++] = byte << (8 - filled);
    }
  }

  #runs(count: number, hasPalette: boolean): void {
    const scratch = this.#scratch;
    scratch.bytes[scratch.at++] = hasPalette ? RUN_BIT + this.#palette.size : RUN_BIT;
    if (hasPalette) this.#colours();
    for (let i = 0; i < count;) {
      const word = this.#tile[i] as number;
      const first = i;
      while (i < count && this.#tile[i] === word) i++;
      const length = i - first;
      if (hasPalette) {
        const index = this.#palette.add(word, MOST_COLOURS);
        scratch.bytes[scratch.at++] = length === 1 ? index : index | RUN_BIT;
        if (length === 1) continue;
      } else this.#codec.compact(scratch, word);
      let left = length - 1;
      for (; left >= 255; left -= 255) scratch.bytes[scratch.at++] = 255;
      scratch.bytes[scratch.at++] = left;
    }
  }
}

/**
 * A ZRLE rectangle for one viewer: its first one opens the stream.
 *
 * @param encoded what {@linkcode ZrleEncoder} made
 */
export function zrleRect(encoded: EncodedRect, isFirst: boolean): Uint8Array<ArrayBuffer> {
  return isFirst ? withLength(encoded.bytes.subarray(4), STREAM_HEAD) : encoded.bytes;
}

function withLength(piece: Uint8Array, head: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4 + head.length + piece.length);
  new DataView(bytes.buffer).setUint32(0, head.length + piece.length);
  bytes.set(head, 4);
  bytes.set(piece, 4 + head.length);
  return bytes;
}

function bitsOf(colours: number): number {
  return colours <= 2 ? 1 : colours <= 4 ? 2 : 4;
}
