/**
 * Viewers that want the same bytes: one encoder serves them all, and what it made of a rectangle is kept as
 * long as the picture does not change.
 * @module
 */
import type { PixelFormat } from "../pixel_format.ts";
import { ENCODING } from "../protocol.ts";
import type { Rect } from "./dirty_tiles.ts";
import { PixelCodec } from "./pixel_codec.ts";
import { RawEncoder } from "./raw_encoder.ts";
import type { EncodedRect, RectEncoder } from "./rect_encoder.ts";
import type { SharedPicture } from "./shared_picture.ts";
import { TightEncoder } from "./tight_encoder.ts";
import { ZrleEncoder } from "./zrle_encoder.ts";

/** How a viewer wants rectangles. */
export interface Wish {
  /** How pixels are written. */
  readonly format: PixelFormat;
  /** ENCODING.RAW, ZRLE or TIGHT. */
  readonly encoding: number;
  /** zlib's level, 1 to 9. */
  readonly level: number;
}

/** An encoder with what it made last. */
class EncoderGroup {
  readonly #encoder: RectEncoder;
  readonly #kept = new Map<string, EncodedRect>();
  #version = -1;

  constructor({ format, encoding, level }: Wish) {
    const codec = new PixelCodec(format);
    if (encoding === ENCODING.TIGHT) this.#encoder = new TightEncoder(codec, level);
    else if (encoding === ENCODING.ZRLE) this.#encoder = new ZrleEncoder(codec, level);
    else this.#encoder = new RawEncoder(codec);
  }

  encode(picture: SharedPicture, rect: Rect): EncodedRect {
    if (picture.version !== this.#version) this.#kept.clear();
    this.#version = picture.version;
    const key = `${rect.x},${rect.y},${rect.width},${rect.height}`;
    const kept = this.#kept.get(key) ?? this.#encoder.encode(picture, rect);
    this.#kept.set(key, kept);
    return kept;
  }

  /** Lets go of what it made. */
  forget(): void {
    this.#kept.clear();
  }
}

/** Wishes that are kept: as many as there are viewers, at most. */
const MOST_GROUPS = 64;

/** All encoders of one picture. */
export class EncoderGroups {
  readonly #picture: SharedPicture;
  readonly #groups = new Map<string, EncoderGroup>();

  /** None yet. */
  constructor(picture: SharedPicture) {
    this.#picture = picture;
  }

  /** A rectangle as a viewer wants it. */
  encode(wish: Wish, rect: Rect): EncodedRect {
    const key = JSON.stringify(wish);
    let group = this.#groups.get(key);
    if (group === undefined) {
      // A viewer that changes its settings again and again does not pile up encoders.
      if (this.#groups.size >= MOST_GROUPS) this.#groups.clear();
      group = new EncoderGroup(wish);
      this.#groups.set(key, group);
    }
    return group.encode(this.#picture, rect);
  }

  /** Nobody looks any more: what was made is let go of. */
  forget(): void {
    for (const group of this.#groups.values()) group.forget();
    this.#groups.clear();
  }
}
