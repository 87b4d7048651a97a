/**
 * Finds what of a new frame is an older picture's rows at another height: text that scrolls, a page that is
 * turned. A viewer has these pixels already, and is told to copy them (CopyRect).
 *
 * Rows are compared by a hash of every third pixel. A wrong guess costs bytes and nothing else: what is
 * copied is compared with the frame like everything else.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { Rect } from "./dirty_tiles.ts";

/** Rows that have moved. */
export interface Scroll {
  /** Where they are now. */
  readonly to: Rect;
  /** The row where their first one was. */
  readonly fromY: number;
}

/** A part that is smaller than that, of the picture's pixels, is not worth the search. */
const LEAST_SHARE = 0.1;
/** Rows that have to have moved together. */
const LEAST_ROWS = 48;
/** Every so many pixels are looked at. */
const STEP = 3;
const COLOUR = 0xff_ffff;
const SEED = 0x811c_9dc5 | 0;
const PRIME = 0x0100_0193;

/** Pixels, and how many words it is from row to row. */
export interface Pixels {
  /** 0x??RRGGBB. */
  readonly words: Int32Array<ArrayBufferLike>;
  /** Words from row to row. */
  readonly stride: number;
}

/**
 * Looks for rows that have moved up or down.
 *
 * @param before the older picture
 * @param now the frame
 * @param part where they differ; within both
 * @param pixels of the whole picture
 * @returns the longest run of them, undefined where there is none of note
 */
export function findScroll(before: Pixels, now: Pixels, part: Rect, pixels: number): Scroll | undefined {
  const { x, y, width, height } = part;
  if (height < LEAST_ROWS || width * height < LEAST_SHARE * pixels) return undefined;
  const old = hashes(before, part);
  const fresh = hashes(now, part);
  const shift = commonShift(old, fresh);
  if (shift === 0) return undefined;
  let [first, rows] = [0, 0];
  for (let row = 0, length = 0; row < height; row++) {
    const from = row + shift;
    length = from >= 0 && from < height && fresh[row] === old[from] ? length + 1 : 0;
    if (length > rows) [first, rows] = [row + 1 - length, length];
  }
  if (rows < LEAST_ROWS) return undefined;
  return { to: { x, y: y + first, width, height: rows }, fromY: y + first + shift };
}

/** A number for each row of a part. */
function hashes({ words, stride }: Pixels, { x, y, width, height }: Rect): Int32Array {
  const all = new Int32Array(height);
  for (let row = 0; row < height; row++) {
    const first = (y + row) * stride + x;
    let hash = SEED;
    for (let i = first; i < first + width; i += STEP) {
      hash = Math.imul(hash ^ (words[i] as number) & COLOUR, PRIME);
    }
    all[row] = hash;
  }
  return all;
}

/** By how many rows most rows that there is only one of have moved; 0 for none. */
function commonShift(old: Int32Array, fresh: Int32Array): number {
  const places = new Map<number, number>();
  for (let row = 0; row < old.length; row++) {
    const hash = old[row] as number;
    // Rows that there are several of, blank ones above all, say nothing.
    places.set(hash, places.has(hash) ? -1 : row);
  }
  const votes = new Map<number, number>();
  let [best, most] = [0, 0];
  for (let row = 0; row < fresh.length; row++) {
    const place = places.get(fresh[row] as number) ?? -1;
    if (place < 0) continue;
    const shift = place - row;
    const count = (votes.get(shift) ?? 0) + 1;
    votes.set(shift, count);
    if (count > most) [best, most] = [shift, count];
  }
  assert(Math.abs(best) < old.length || most === 0, "rows move within their part");
  return best;
}
