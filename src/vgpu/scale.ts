/**
 * Pictures made smaller or larger: averaged over boxes, so that small text stays a grey of it, and repeated.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { MAX_PICTURE_SIDE } from "../base/limits.ts";
import type { Picture } from "./picture.ts";

/**
 * Scales a picture.
 *
 * @param factor of both sides: above 0, at most 8
 * @throws {Fault} `bad-argument` when the result would be larger than a picture may be
 */
export function scalePicture(picture: Picture, factor: number): Picture {
  const width = Math.max(1, Math.round(picture.width * factor));
  const height = Math.max(1, Math.round(picture.height * factor));
  if (!(factor > 0 && factor <= 8) || width > MAX_PICTURE_SIDE || height > MAX_PICTURE_SIDE) {
    throw new Fault(
      "bad-argument",
      `Cannot scale ${picture.width}x${picture.height} pixels by ${factor}: at most ${MAX_PICTURE_SIDE} each way`,
    );
  }
  if (width === picture.width && height === picture.height) return picture;
  const rgba = new Uint8Array(width * height * 4);
  const columns = spans(width, picture.width);
  const rows = spans(height, picture.height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      average(picture, columns, rows, x, y, rgba, (y * width + x) * 4);
    }
  }
  return { width, height, rgba };
}

/** Where each of `count` boxes over `length` begins; one number more, for the end of the last. */
function spans(count: number, length: number): Int32Array {
  return Int32Array.from({ length: count + 1 }, (_, i) => Math.floor(i * length / count));
}

function average(
  { rgba, width }: Picture,
  columns: Int32Array,
  rows: Int32Array,
  x: number,
  y: number,
  out: Uint8Array,
  to: number,
): void {
  const left = columns[x] as number;
  const right = Math.max(left + 1, columns[x + 1] as number);
  const top = rows[y] as number;
  const bottom = Math.max(top + 1, rows[y + 1] as number);
  let red = 0;
  let green = 0;
  let blue = 0;
  for (let row = top; row < bottom; row++) {
    for (let at = (row * width + left) * 4, end = (row * width + right) * 4; at < end; at += 4) {
      red += rgba[at] as number;
      green += rgba[at + 1] as number;
      blue += rgba[at + 2] as number;
    }
  }
  const count = (right - left) * (bottom - top);
  out[to] = Math.round(red / count);
  out[to + 1] = Math.round(green / count);
  out[to + 2] = Math.round(blue / count);
  out[to + 3] = 255;
}
