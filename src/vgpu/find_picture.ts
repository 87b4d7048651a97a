/**
 * Finds a small picture in a large one: the place where it differs least, and how little.
 *
 * The difference of two pixels is the sum of their three channels' differences; the score of a place is 1
 * minus the mean difference as a part of the greatest possible one, so 1 is equal and 0 is black against
 * white. Exact search goes by the needle's pixel that is rarest in the large picture. With tolerance, a bound
 * on each place's difference comes first: the difference of two pictures is at least the sum, over their four
 * quarters, of how far the quarters' sums are apart, and a quarter's sum is four look-ups in a summed table.
 * Only places that the bound lets through are compared, row by row, up to the best difference so far.
 *
 * A needle's transparent pixels match anything. It neither scales nor rotates.
 *
 * Functions that run once per place take their arguments one by one: an object would be allocated per place,
 * of which a screen has millions.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { Picture, Rectangle } from "./picture.ts";

/** How to look. */
export interface FindOptions {
  /** Mean difference a channel, 0 to 255, that is still a match; 0 (the default) = equal in every pixel. */
  readonly tolerance?: number;
  /** Look only here: the needle lies wholly within. */
  readonly within?: Rectangle;
}

/** Where it was found. */
export type FindResultPlace =
  | { readonly found: true; readonly x: number; readonly y: number; readonly score: number }
  | {
    readonly found: false;
    /** The best score that was seen, when the search was with tolerance and compared any place. */
    readonly bestScore?: number;
  };

const NOWHERE: FindResultPlace = { found: false };

/**
 * Finds `needle` in `picture`.
 *
 * @returns the best place; of equal ones the first, row by row
 */
export function findPicture(picture: Picture, needle: Picture, options: FindOptions = {}): FindResultPlace {
  const tolerance = options.tolerance ?? 0;
  if (!(tolerance >= 0 && tolerance <= 255)) {
    throw new Fault("bad-argument", `Cannot look for a picture with tolerance ${tolerance}: it is 0 to 255`);
  }
  const area = searchArea(picture, needle, options.within);
  if (area === undefined) return NOWHERE;
  const mask = new Mask(needle);
  if (mask.count === 0) return { found: true, x: area.left, y: area.top, score: 1 };
  return tolerance === 0
    ? findExact(picture, needle, area, mask)
    : findNear(picture, needle, area, mask, tolerance);
}

/** Top left corners to try, inclusive. */
interface Area {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

function searchArea(picture: Picture, needle: Picture, within: Rectangle | undefined): Area | undefined {
  const left = Math.max(0, within?.x ?? 0);
  const top = Math.max(0, within?.y ?? 0);
  const right = Math.min(picture.width, within === undefined ? Infinity : within.x + within.width) -
    needle.width;
  const bottom = Math.min(picture.height, within === undefined ? Infinity : within.y + within.height) -
    needle.height;
  return right < left || bottom < top ? undefined : { left, top, right, bottom };
}

/** Which pixels of a needle count. */
class Mask {
  /** Pixels that count. */
  count = 0;
  /** Whether all do. */
  readonly full: boolean;

  constructor(needle: Picture) {
    const { rgba } = needle;
    for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 0) this.count++;
    this.full = this.count === rgba.length / 4;
  }
}

function words(picture: Picture): Int32Array {
  return new Int32Array(picture.rgba.buffer, picture.rgba.byteOffset, picture.width * picture.height);
}

const COLOUR = 0x00ff_ffff;

function findExact(picture: Picture, needle: Picture, area: Area, mask: Mask): FindResultPlace {
  const large = words(picture);
  const small = words(needle);
  const anchor = rarest(large, small, needle);
  const wanted = (small[anchor] as number) & COLOUR;
  const ax = anchor % needle.width;
  const ay = (anchor - ax) / needle.width;
  for (let y = area.top; y <= area.bottom; y++) {
    const row = (y + ay) * picture.width + ax;
    for (let x = area.left; x <= area.right; x++) {
      if (((large[row + x] as number) & COLOUR) !== wanted) continue;
      if (equalAt(large, picture.width, small, needle, x, y, mask)) return { found: true, x, y, score: 1 };
    }
  }
  return NOWHERE;
}

/** The needle's pixel whose colour is rarest in the large picture, counted by a 16-bit hash of the colour. */
function rarest(large: Int32Array, small: Int32Array, needle: Picture): number {
  const counts = new Uint32Array(1 << 16);
  for (let i = 0; i < large.length; i++) {
    const slot = Math.imul((large[i] as number) & COLOUR, 0x9e37_79b1) >>> 16;
    counts[slot] = (counts[slot] as number) + 1;
  }
  let best = 0;
  let bestCount = Infinity;
  for (let i = 0; i < small.length; i++) {
    if (needle.rgba[4 * i + 3] === 0) continue;
    const count = counts[Math.imul((small[i] as number) & COLOUR, 0x9e37_79b1) >>> 16] as number;
    if (count < bestCount) {
      best = i;
      bestCount = count;
    }
  }
  return best;
}

function equalAt(
  large: Int32Array,
  largeWidth: number,
  small: Int32Array,
  needle: Picture,
  x: number,
  y: number,
  mask: Mask,
): boolean {
  const width = needle.width;
  for (let row = 0, i = 0; row < needle.height; row++) {
    let at = (y + row) * largeWidth + x;
    const end = i + width;
    for (; i < end; i++, at++) {
      if ((((large[at] as number) ^ (small[i] as number)) & COLOUR) === 0) continue;
      if (mask.full || needle.rgba[4 * i + 3] !== 0) return false;
    }
  }
  return true;
}

function findNear(
  picture: Picture,
  needle: Picture,
  area: Area,
  mask: Mask,
  tolerance: number,
): FindResultPlace {
  const allowed = Math.floor(tolerance * mask.count * 3);
  const bound = mask.full ? new QuarterBound(picture, needle) : undefined;
  const rows = spreadRows(needle.height);
  let best = Infinity;
  let bestX = -1;
  let bestY = -1;
  for (let y = area.top; y <= area.bottom && best > 0; y++) {
    for (let x = area.left; x <= area.right; x++) {
      const limit = bestX < 0 ? allowed : best - 1;
      if (bound !== undefined && bound.at(x, y) > limit) continue;
      const difference = differenceAt(picture, needle, x, y, limit, rows);
      if (difference > limit) continue;
      best = difference;
      bestX = x;
      bestY = y;
      if (best === 0) break;
    }
  }
  if (bestX < 0) return NOWHERE;
  return { found: true, x: bestX, y: bestY, score: 1 - best / (mask.count * 3 * 255) };
}

/** Rows in an order that sees all of the needle early: a place that differs is left after few of them. */
function spreadRows(height: number): Int32Array {
  const order = new Int32Array(height);
  let n = 0;
  const step = Math.max(1, Math.floor(height / 8));
  for (let from = 0; from < step; from++) for (let row = from; row < height; row += step) order[n++] = row;
  return order;
}

/** The sum of differences, or any number above `limit` once it is above. */
function differenceAt(
  picture: Picture,
  needle: Picture,
  x: number,
  y: number,
  limit: number,
  rows: Int32Array,
): number {
  const a = picture.rgba;
  const b = needle.rgba;
  const rowBytes = needle.width * 4;
  let sum = 0;
  for (let n = 0; n < rows.length; n++) {
    const row = rows[n] as number;
    let at = ((y + row) * picture.width + x) * 4;
    for (let i = row * rowBytes, end = i + rowBytes; i < end; i += 4, at += 4) {
      if (b[i + 3] === 0) continue;
      sum += Math.abs((a[at] as number) - (b[i] as number)) +
        Math.abs((a[at + 1] as number) - (b[i + 1] as number)) +
        Math.abs((a[at + 2] as number) - (b[i + 2] as number));
    }
    if (sum > limit) return sum;
  }
  return sum;
}

/** A lower bound on the difference at a place, from sums of quarters. */
class QuarterBound {
  readonly #table: Int32Array;
  readonly #rowWords: number;
  readonly #midX: number;
  readonly #midY: number;
  readonly #width: number;
  readonly #height: number;
  readonly #sums: Int32Array;

  constructor(picture: Picture, needle: Picture) {
    this.#table = summedTable(picture);
    this.#rowWords = picture.width + 1;
    this.#width = needle.width;
    this.#height = needle.height;
    this.#midX = needle.width >>> 1;
    this.#midY = needle.height >>> 1;
    const own = summedTable(needle);
    const row = needle.width + 1;
    this.#sums = Int32Array.of(
      area(own, row, 0, 0, this.#midX, this.#midY),
      area(own, row, this.#midX, 0, needle.width, this.#midY),
      area(own, row, 0, this.#midY, this.#midX, needle.height),
      area(own, row, this.#midX, this.#midY, needle.width, needle.height),
    );
  }

  at(x: number, y: number): number {
    const table = this.#table;
    const row = this.#rowWords;
    const midX = x + this.#midX;
    const midY = y + this.#midY;
    const right = x + this.#width;
    const bottom = y + this.#height;
    const sums = this.#sums;
    return Math.abs((area(table, row, x, y, midX, midY) - (sums[0] as number)) | 0) +
      Math.abs((area(table, row, midX, y, right, midY) - (sums[1] as number)) | 0) +
      Math.abs((area(table, row, x, midY, midX, bottom) - (sums[2] as number)) | 0) +
      Math.abs((area(table, row, midX, midY, right, bottom) - (sums[3] as number)) | 0);
  }
}

/**
 * Sums of all channels above and left of each corner, modulo 2^32: wrapping makes a difference of sums
 * smaller at most, and so it stays a lower bound.
 */
function summedTable(picture: Picture): Int32Array {
  const { width, height, rgba } = picture;
  const row = width + 1;
  const table = new Int32Array(row * (height + 1));
  for (let y = 0, at = 0; y < height; y++) {
    let sum = 0;
    for (let x = 0, to = (y + 1) * row + 1; x < width; x++, at += 4, to++) {
      sum = (sum + (rgba[at] as number) + (rgba[at + 1] as number) + (rgba[at + 2] as number)) | 0;
      table[to] = ((table[to - row] as number) + sum) | 0;
    }
  }
  return table;
}

function area(
  table: Int32Array,
  row: number,
  left: number,
  top: number,
  right: number,
  bottom: number,
): number {
  return ((table[bottom * row + right] as number) - (table[bottom * row + left] as number) -
    (table[top * row + right] as number) + (table[top * row + left] as number)) | 0;
}
