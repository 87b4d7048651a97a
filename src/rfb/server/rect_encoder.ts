/**
 * What the encoders of rectangles have in common. An encoded rectangle depends on nothing that was sent
 * before it: each is compressed for itself, so that one may be sent to any number of viewers, in any order,
 * and a viewer may miss some. That costs some bytes where a rectangle repeats what an earlier one had, and
 * makes ten viewers as cheap as one.
 * @module
 */
import type { Rect } from "./dirty_tiles.ts";
import type { SharedPicture } from "./shared_picture.ts";

/** A rectangle's pixels as they are sent. */
export interface EncodedRect {
  /** One of ENCODING. */
  readonly encoding: number;
  /** What stands behind the rectangle's head. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** One way to write rectangles, in one format of pixels. */
export interface RectEncoder {
  /** Encodes a part of the picture. */
  encode(picture: SharedPicture, rect: Rect): EncodedRect;
}

/** Memory for a rectangle on its way, which grows as it must and is used again and again. */
export class Scratch {
  /** The bytes. */
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** Where the next one goes. */
  at = 0;

  /** Empties it, with room for so many bytes. */
  begin(room: number): void {
    if (this.bytes.length < room) this.bytes = new Uint8Array(room);
    this.at = 0;
  }

  /** What was written; overwritten by the next one. */
  get written(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.at);
  }
}
