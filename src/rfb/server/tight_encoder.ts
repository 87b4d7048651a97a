/**
 * Tight (the community's register of RFB, 7.7.7): a rectangle as one colour, as numbers in a palette, or as
 * pixels, compressed. Each rectangle says that its zlib stream begins anew. JPEG is not used: what is shown
 * is what the guest shows, bit for bit, whatever quality a viewer asks for.
 * @module
 */
import { ENCODING } from "../protocol.ts";
import { compressStream } from "./compress.ts";
import type { Rect } from "./dirty_tiles.ts";
import { Palette } from "./palette.ts";
import type { PixelCodec } from "./pixel_codec.ts";
import { type EncodedRect, type RectEncoder, Scratch } from "./rect_encoder.ts";
import type { SharedPicture } from "./shared_picture.ts";

/** The rectangle is one colour. */
const FILL = 0x80;
/** Stream 0, which begins anew. */
const STREAM = 0x01;
/** A byte says what was done to the pixels. */
const HAS_FILTER = 0x40;
const PALETTE_FILTER = 1;
const MOST_COLOURS = 256;
/** Fewer bytes than these are not compressed. */
const MIN_COMPRESSED = 12;

/** The encoder. */
export class TightEncoder implements RectEncoder {
  readonly #codec: PixelCodec;
  readonly #level: number;
  readonly #palette = new Palette();
  readonly #scratch = new Scratch();

  /** Of one format of pixels. @param level zlib's, 1 to 9 */
  constructor(codec: PixelCodec, level: number) {
    this.#codec = codec;
    this.#level = level;
  }

  encode(picture: SharedPicture, rect: Rect): EncodedRect {
    return { encoding: ENCODING.TIGHT, bytes: this.#bytesOf(picture, rect) };
  }

  #bytesOf(picture: SharedPicture, rect: Rect): Uint8Array<ArrayBuffer> {
    const pixelBytes = this.#codec.isTightRgb ? 3 : this.#codec.pixelBytes;
    this.#scratch.begin(rect.width * rect.height * Math.max(1, pixelBytes));
    if (!this.#indices(picture, rect)) {
      this.#scratch.at = 0;
      this.#pixels(picture, rect);
      return this.#message([STREAM]);
    }
    const { size, words } = this.#palette;
    const colours = { bytes: new Uint8Array(size * pixelBytes), at: 0 };
    for (let i = 0; i < size; i++) this.#codec.tight(colours, words[i] as number);
    if (size === 1) return new Uint8Array([FILL, ...colours.bytes]);
    if (size === 2) this.#pack(rect);
    return this.#message([STREAM | HAS_FILTER, PALETTE_FILTER, size - 1, ...colours.bytes]);
  }

  /** Writes each pixel's number; false when there are too many colours. */
  #indices({ words, width }: SharedPicture, rect: Rect): boolean {
    const palette = this.#palette;
    const { bytes } = this.#scratch;
    palette.clear();
    let at = 0;
    let before = -1;
    let index = 0;
    for (let y = rect.y; y < rect.y + rect.height; y++) {
      for (let i = y * width + rect.x, end = i + rect.width; i < end; i++) {
        const word = words[i] as number;
        if (word !== before) {
          index = palette.add(word, MOST_COLOURS);
          if (index < 0) return false;
          before = word;
        }
        bytes[at++] = index;
      }
    }
    this.#scratch.at = at;
    return true;
  }

  /** Two colours: eight pixels to a byte, each row from a byte of its own; in place. */
  #pack({ width, height }: Rect): void {
    const { bytes } = this.#scratch;
    let to = 0;
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x += 8) {
        let byte = 0;
        const most = Math.min(8, width - x);
        for (let bit = 0; bit < most; bit++) byte |= (bytes[i++] as number) << (7 - bit);
        bytes[to++] = byte;
      }
    }
    this.#scratch.at = to;
  }

  #pixels({ words, width }: SharedPicture, rect: Rect): void {
    const scratch = this.#scratch;
    for (let y = rect.y; y < rect.y + rect.height; y++) {
      const first = y * width + rect.x;
      if (!this.#codec.isTightRgb) {
        this.#codec.row(scratch, words, first, first + rect.width);
        continue;
      }
      const { bytes } = scratch;
      let { at } = scratch;
      for (let i = first; i < first + rect.width; i++) {
        const word = words[i] as number;
        bytes[at] = word >>> 16;
        bytes[at + 1] = word >>> 8;
        bytes[at + 2] = word;
        at += 3;
      }
      scratch.at = at;
    }
  }

  /** What is in the scratch, behind its head. */
  #message(head: readonly number[]): Uint8Array<ArrayBuffer> {
    const { written } = this.#scratch;
    if (written.length < MIN_COMPRESSED) return joinedTight(head, [], written);
    const packed = compressStream(written, this.#level);
    return joinedTight(head, compactLength(packed.length), packed);
  }
}

function joinedTight(
  head: readonly number[],
  length: readonly number[],
  data: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(head.length + length.length + data.length);
  bytes.set(head);
  bytes.set(length, head.length);
  bytes.set(data, head.length + length.length);
  return bytes;
}

/** A length in one to three bytes of seven bits, the low ones first. */
function compactLength(length: number): number[] {
  if (length < 0x80) return [length];
  if (length < 0x4000) return [length & 0x7f | 0x80, length >>> 7];
  return [length & 0x7f | 0x80, length >>> 7 & 0x7f | 0x80, length >>> 14];
}
