/**
 * A part of a picture as needles are compared: in grey, and blurred, so that it matters little where exactly
 * an edge lies. The weights are those of BT.601 in 15 bits; the blur is the 3x3 binomial one, and at the
 * picture's edge the picture is mirrored without repeating its last row (what OpenCV's cvtColor and
 * GaussianBlur of three pixels do: equal to OpenCV 5.0's in every pixel).
 *
 * os-autoinst mirrors at the edge of the area, too, where OpenCV's blur in place has lost what lies around
 * it. Here the pixels around an area count; likenesses differ by that from its own in the third decimal.
 * @module
 */
import { blurredGray } from "../../ffi/picture_search.ts";
import type { Picture, Rectangle } from "../vgpu/picture.ts";

/** Grey values of a part of a picture. */
export interface GrayPart extends Rectangle {
  /** One byte per pixel, row by row. */
  readonly gray: Uint8Array;
}

/**
 * The grey and blurred values of a part.
 *
 * @param part lies on the picture
 * @param excluded parts that count as one colour; what lies outside the picture is cut off
 */
export function grayPart(picture: Picture, part: Rectangle, excluded: readonly Rectangle[] = []): GrayPart {
  return { ...part, gray: blurredGray(picture, part, excluded) };
}
