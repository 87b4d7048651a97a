/**
 * Pictures made smaller or larger. A smaller one has in each pixel the mean of the area that it covers, parts
 * of pixels counted as parts: text keeps the weight of its strokes at any factor (boxes of whole pixels make
 * every fourth column of a screen at 0.8 twice as bold as its neighbours). A larger one repeats pixels.
 *
 * Rows first, then columns, in one row of sums: 1280x800 to 1024x640 takes some 15 ms.
 * @module
 */
import { assert } from "../base/assert.ts";
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
  return factor < 1 ? shrunk(picture, width, height) : repeated(picture, width, height);
}

/**
 * The pixels that one pixel of the result covers: `first` whole or in part, those behind it whole, `last` in
 * part; the weights are of the first and of the last, in pixels.
 */
interface Cover {
  readonly first: number;
  readonly last: number;
  readonly firstWeight: number;
  readonly lastWeight: number;
}

function covers(count: number, length: number): Cover[] {
  return Array.from({ length: count }, (_, i) => {
    const from = i * length / count;
    const to = Math.min(length, (i + 1) * length / count);
    const first = Math.floor(from);
    const last = Math.min(length - 1, Math.ceil(to) - 1);
    if (last === first) return { first, last, firstWeight: to - from, lastWeight: 0 };
    return { first, last, firstWeight: first + 1 - from, lastWeight: to - last };
  });
}

function shrunk(picture: Picture, width: number, height: number): Picture {
  assert(width <= picture.width && height <= picture.height, "it becomes smaller");
  const rgba = new Uint8Array(width * height * 4);
  const columns = covers(width, picture.width);
  const sums = new Float32Array(picture.width * 3);
  const area = picture.width / width * (picture.height / height);
  const scale = 1 / area;
  let to = 0;
  for (const { first, last, firstWeight, lastWeight } of covers(height, picture.height)) {
    sums.fill(0);
    for (let row = first; row <= last; row++) {
      addRow(picture, row, row === first ? firstWeight : row === last ? lastWeight : 1, sums);
    }
    to = writeRow(sums, columns, scale, rgba, to);
  }
  return { width, height, rgba };
}

function addRow({ rgba, width }: Picture, row: number, weight: number, sums: Float32Array): void {
  for (let from = row * width * 4, at = 0; at < sums.length; from += 4, at += 3) {
    sums[at] = (sums[at] as number) + weight * (rgba[from] as number);
    sums[at + 1] = (sums[at + 1] as number) + weight * (rgba[from + 1] as number);
    sums[at + 2] = (sums[at + 2] as number) + weight * (rgba[from + 2] as number);
  }
}

/** One row of the result out of the sums over its rows. Returns where the next one begins. */
function writeRow(
  sums: Float32Array,
  columns: readonly Cover[],
  scale: number,
  rgba: Uint8Array,
  start: number,
): number {
  let to = start;
  for (const { first, last, firstWeight, lastWeight } of columns) {
    let at = first * 3;
    let red = firstWeight * (sums[at] as number);
    let green = firstWeight * (sums[at + 1] as number);
    let blue = firstWeight * (sums[at + 2] as number);
    for (let column = first + 1; column <= last; column++) {
      const weight = column === last ? lastWeight : 1;
      at += 3;
      red += weight * (sums[at] as number);
      green += weight * (sums[at + 1] as number);
      blue += weight * (sums[at + 2] as number);
    }
    rgba[to++] = red * scale + 0.5;
    rgba[to++] = green * scale + 0.5;
    rgba[to++] = blue * scale + 0.5;
    rgba[to++] = 255;
  }
  return to;
}

function repeated(picture: Picture, width: number, height: number): Picture {
  const rgba = new Uint8Array(width * height * 4);
  const from = new Uint32Array(new Uint8Array(picture.rgba).buffer);
  const to = new Uint32Array(rgba.buffer);
  const columns = Int32Array.from({ length: width }, (_, x) => Math.floor(x * picture.width / width));
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y * picture.height / height) * picture.width;
    for (let x = 0; x < width; x++) to[y * width + x] = from[row + (columns[x] as number)] as number;
  }
  return { width, height, rgba };
}
