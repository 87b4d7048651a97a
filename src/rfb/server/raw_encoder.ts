/**
 * Raw: pixels row by row, for viewers that know nothing else.
 * @module
 */
import { ENCODING } from "../protocol.ts";
import type { Rect } from "./dirty_tiles.ts";
import type { PixelCodec } from "./pixel_codec.ts";
import type { EncodedRect, RectEncoder } from "./rect_encoder.ts";
import type { SharedPicture } from "./shared_picture.ts";

/** The encoder. */
export class RawEncoder implements RectEncoder {
  readonly #codec: PixelCodec;

  /** Of one format of pixels. */
  constructor(codec: PixelCodec) {
    this.#codec = codec;
  }

  encode({ words, width }: SharedPicture, rect: Rect): EncodedRect {
    const sink = { bytes: new Uint8Array(rect.width * rect.height * this.#codec.pixelBytes), at: 0 };
    for (let y = rect.y; y < rect.y + rect.height; y++) {
      const from = y * width + rect.x;
      this.#codec.row(sink, words, from, from + rect.width);
    }
    return { encoding: ENCODING.RAW, bytes: sink.bytes };
  }
}
