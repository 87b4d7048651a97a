/**
 * A part of a picture in grey and blurred, and the place in one that differs least from a smaller one: one
 * call of the shim each, whatever the size (shim/vmsig_gray.c, shim/vmsig_area.c).
 * @module
 */
import { assert } from "../src/base/assert.ts";
import { OsError } from "./os_error.ts";
import { shim } from "./shim.ts";

const BYTES_PER_PIXEL = 4;

/** Pixels of something. */
export interface PixelSize {
  /** In a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

/** A rectangle of pixels. */
export interface PixelRectangle extends PixelSize {
  /** From the left. */
  readonly x: number;
  /** From the top. */
  readonly y: number;
}

/** A picture with a byte for each pixel, row by row. */
export interface GrayPixels extends PixelSize {
  /** The pixels. */
  readonly gray: Uint8Array;
}

/** Where an area differs least, from the scene's left and top, and by how much. */
export interface FoundArea {
  /** Pixels from the left. */
  readonly x: number;
  /** Pixels from the top. */
  readonly y: number;
  /** The sum of squared differences. */
  readonly sum: number;
}

/**
 * The grey and blurred values of a part of a picture.
 *
 * @param part lies on the picture
 * @param excluded parts that count as one colour; what lies outside the picture is cut off
 * @throws {OsError} when there is no memory for it
 */
export function blurredGray(
  { width, height, rgba }: PixelSize & { readonly rgba: Uint8Array },
  part: PixelRectangle,
  excluded: readonly PixelRectangle[],
): Uint8Array<ArrayBuffer> {
  assert(rgba.length === width * height * BYTES_PER_PIXEL, "a picture has the bytes of its size");
  assert(isOn(part, { width, height }), "a part is on its picture");
  const cut = excluded.map(({ x, y, width: columns, height: rows }) => [
    Math.max(0, x),
    Math.max(0, y),
    Math.max(0, Math.min(width, x + columns)),
    Math.max(0, Math.min(height, y + rows)),
  ]);
  const head = [width, height, part.x, part.y, part.width, part.height, cut.length];
  const request = Int32Array.from([...head, ...cut.flat()]);
  const gray = new Uint8Array(part.width * part.height);
  const result = shim().vmsig_gray_part(rgba as Uint8Array<ArrayBuffer>, request, gray);
  if (result < 0) throw new OsError("malloc", result);
  return gray;
}

/**
 * Looks for an area.
 *
 * @param origin where it was cut out, from the scene's left and top
 * @param most a sum that is of no use any more: where all places are above it, one of them is told
 * @returns the nearest to the origin of the places whose sum is at most 10 above the least; the first row by
 *   row of those that are as near; the origin where nothing differs there
 * @throws {OsError} when there is no memory for it
 */
export function leastDifferent(
  scene: GrayPixels,
  area: GrayPixels,
  origin: { readonly x: number; readonly y: number },
  most: number,
): FoundArea {
  assert(isWhole(scene) && isWhole(area), "a picture has the bytes of its size");
  assert(
    isOn({ ...origin, width: area.width, height: area.height }, scene),
    "an area is where it was cut out",
  );
  const request = new Float64Array(10);
  request.set([scene.width, scene.height, area.width, area.height, origin.x, origin.y, most]);
  const [there, here] = [scene.gray as Uint8Array<ArrayBuffer>, area.gray as Uint8Array<ArrayBuffer>];
  const result = shim().vmsig_find_area(there, here, request);
  if (result < 0) throw new OsError("malloc", result);
  const [x = 0, y = 0, sum = 0] = request.subarray(7);
  return { x, y, sum };
}

function isWhole({ width, height, gray }: GrayPixels): boolean {
  return gray.length === width * height;
}

function isOn({ x, y, width, height }: PixelRectangle, whole: PixelSize): boolean {
  return [x, y, width, height].every(Number.isSafeInteger) && x >= 0 && y >= 0 && width > 0 && height > 0 &&
    x + width <= whole.width && y + height <= whole.height;
}
