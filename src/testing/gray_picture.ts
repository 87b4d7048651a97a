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
import { assert } from "../base/assert.ts";
import type { Picture, Rectangle } from "../vgpu/picture.ts";

/** Grey values of a part of a picture. */
export interface GrayPart extends Rectangle {
  /** One byte per pixel, row by row. */
  readonly gray: Uint8Array;
}

const [RED, GREEN, BLUE] = [9798, 19235, 3735];
const SHIFT = 15;
const HALF = 1 << (SHIFT - 1);
/** What an excluded part is painted with, in both pictures: green. */
const EXCLUDED = (GREEN * 255 + HALF) >> SHIFT;

/**
 * The grey and blurred values of a part.
 *
 * @param part lies on the picture
 * @param excluded parts that count as one colour; what lies outside the picture is cut off
 */
export function grayPart(picture: Picture, part: Rectangle, excluded: readonly Rectangle[] = []): GrayPart {
  const { x, y, width, height } = part;
  assert(
    x >= 0 && y >= 0 && x + width <= picture.width && y + height <= picture.height,
    "a part is on its picture",
  );
  // One pixel more on each side, mirrored where the picture ends.
  const [columns, rows] = [indexes(x, width, picture.width), indexes(y, height, picture.height)];
  const wide = width + 2;
  const plain = new Uint8Array(wide * (height + 2));
  const { rgba } = picture;
  for (let row = 0; row < rows.length; row++) {
    const from = (rows[row] as number) * picture.width;
    let to = row * wide;
    for (let column = 0; column < wide; column++) {
      const at = (from + (columns[column] as number)) * 4;
      plain[to++] = (RED * (rgba[at] as number) + GREEN * (rgba[at + 1] as number) +
        BLUE * (rgba[at + 2] as number) + HALF) >> SHIFT;
    }
  }
  for (const area of excluded) paint(plain, columns, rows, area);
  const gray = new Uint8Array(width * height);
  const sums = new Uint16Array(wide);
  for (let row = 0, to = 0; row < height; row++) {
    const above = row * wide;
    for (let column = 0; column < wide; column++) {
      const at = above + column;
      sums[column] = (plain[at] as number) + 2 * (plain[at + wide] as number) +
        (plain[at + 2 * wide] as number);
    }
    for (let column = 0; column < width; column++) {
      gray[to++] =
        ((sums[column] as number) + 2 * (sums[column + 1] as number) + (sums[column + 2] as number) + 8) >> 4;
    }
  }
  return { ...part, gray };
}

/** Places in a line of `size`, one more on each side than asked, mirrored at the ends. */
function indexes(from: number, count: number, size: number): Int32Array {
  return Int32Array.from({ length: count + 2 }, (_, i) => {
    const at = from + i - 1;
    if (size === 1) return 0;
    return at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at;
  });
}

function paint(plain: Uint8Array, columns: Int32Array, rows: Int32Array, area: Rectangle): void {
  for (let row = 0; row < rows.length; row++) {
    const y = rows[row] as number;
    if (y < area.y || y >= area.y + area.height) continue;
    for (let column = 0; column < columns.length; column++) {
      const x = columns[column] as number;
      if (x >= area.x && x < area.x + area.width) plain[row * columns.length + column] = EXCLUDED;
    }
  }
}
