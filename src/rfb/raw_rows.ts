/**
 * Rows of pixels as they come, in pieces that end anywhere, into a rectangle of a picture.
 * @module
 */
import { assert } from "../base/assert.ts";

/** A rectangle that is being filled. */
export interface Rows {
  /** Where its first pixel is, in bytes of the picture. */
  readonly first: number;
  /** Bytes of a row of it; not 0. */
  readonly rowBytes: number;
  /** Bytes of it that are there. */
  readonly done: number;
}

/**
 * Puts the next piece where it belongs; the caller has checked that it fits.
 *
 * @param pixels the picture
 * @param stride its bytes from row to row
 * @param piece what follows the `done` bytes
 */
export function paintRows(
  pixels: Uint8Array<ArrayBufferLike>,
  stride: number,
  { first, rowBytes, done }: Rows,
  piece: Uint8Array<ArrayBufferLike>,
): void {
  assert(rowBytes > 0 && rowBytes <= stride, "a row lies in a row of the picture");
  if (rowBytes === stride) {
    pixels.set(piece, first + done);
    return;
  }
  const rows = Math.floor(done / rowBytes);
  let column = done - rows * rowBytes;
  let to = first + rows * stride;
  for (let from = 0; from < piece.length; to += stride) {
    const length = Math.min(rowBytes - column, piece.length - from);
    pixels.set(piece.subarray(from, from + length), to + column);
    from += length;
    column = 0;
  }
}
