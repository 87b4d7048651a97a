/**
 * The place in a grey picture where a smaller one differs least, by the sum of squared differences.
 *
 * The area is cut into blocks. A block's sum is four look-ups in a summed table, and by Cauchy and Schwarz
 * the square of how far two blocks' sums are apart, by the block's pixels, is at most their difference: so
 * the blocks together bound a place's difference from below. Two blocks are looked at for every place, 32 for
 * those that the two let through; then the place with the lowest bound is compared, and of the rest those
 * whose bound lies below the smallest difference so far, row by row, until their sum passes it. On screens,
 * which are mostly flat, that leaves a few of thousands.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { GrayPart } from "./gray_picture.ts";

/** Where the area differs least, from the scene's left and top, and by how much. */
export interface FoundArea {
  /** Pixels from the left. */
  readonly x: number;
  /** Pixels from the top. */
  readonly y: number;
  /** The sum of squared differences. */
  readonly sum: number;
}

/** Sums of squared differences this far apart count as equal. */
const TIE = 10;
/** Blocks in a row and in a column that every place is looked at by, and those of the closer look. */
const [FEW, MANY] = [[2, 1], [8, 4]] as const;

/**
 * Looks for an area.
 *
 * @param origin where it was cut out, from the scene's left and top: of places that are as good, the nearest
 * @param most a sum that is of no use any more: where all places are above it, one of them is told
 */
export function searchArea(
  scene: GrayPart,
  wanted: GrayPart,
  origin: { readonly x: number; readonly y: number },
  most: number,
): FoundArea {
  const [across, down] = [scene.width - wanted.width + 1, scene.height - wanted.height + 1];
  assert(
    origin.x >= 0 && origin.x < across && origin.y >= 0 && origin.y < down,
    "an area is where it was cut out",
  );
  const comparison = new Comparison(scene, wanted);
  const atOrigin = comparison.difference(origin.x, origin.y, Infinity);
  if (atOrigin === 0) return { ...origin, sum: 0 };
  const sums = { scene: summed(scene), wanted: summed(wanted), stride: scene.width + 1 };
  const bounds = new Float32Array(across * down);
  for (const block of blocksOf(wanted, sums, FEW)) addBounds(bounds, across, sums, block);
  const at = (place: number): readonly [x: number, y: number] => [place % across, Math.floor(place / across)];
  const [firstX, firstY] = at(lowestOf(bounds));
  const first = { x: firstX, y: firstY, sum: comparison.difference(firstX, firstY, Infinity) };
  let least = Math.min(atOrigin, first.sum, most);
  const blocks = blocksOf(wanted, sums, MANY);
  const places: number[] = [];
  const closer: number[] = [];
  let lowest = 0;
  for (let place = 0; place < bounds.length; place++) {
    if ((bounds[place] as number) > least + TIE) continue;
    const from = Math.floor(place / across) * sums.stride + place % across;
    const bound = boundAt(from, sums, blocks, least + TIE);
    if (bound > least + TIE) continue;
    if (bound < (closer[lowest] ?? Infinity)) lowest = places.length;
    places.push(place);
    closer.push(bound);
  }
  const likeliest = places[lowest];
  if (likeliest !== undefined) least = Math.min(least, comparison.difference(...at(likeliest), least));
  const found: FoundArea[] = [];
  for (let i = 0; i < places.length; i++) {
    if ((closer[i] as number) > least + TIE) continue;
    const [x, y] = at(places[i] as number);
    const sum = comparison.difference(x, y, least + TIE);
    if (sum > least + TIE) continue;
    found.push({ x, y, sum });
    least = Math.min(least, sum);
  }
  let best: FoundArea = first;
  let nearest = Infinity;
  for (const one of found) {
    const distance = (one.x - origin.x) ** 2 + (one.y - origin.y) ** 2;
    if (one.sum > least + TIE || distance >= nearest) continue;
    best = one;
    nearest = distance;
  }
  return best;
}

/** Compares one area with places of one scene. */
class Comparison {
  readonly #scene: GrayPart;
  readonly #wanted: GrayPart;
  /** The area's rows, those with the most in them first. */
  readonly #order: Int32Array;

  constructor(scene: GrayPart, wanted: GrayPart) {
    this.#scene = scene;
    this.#wanted = wanted;
    this.#order = rowsByContent(wanted);
  }

  /** The sum at a place; some number above `most` when it is above that. */
  difference(x: number, y: number, most: number): number {
    const { width } = this.#wanted;
    const [scene, wanted] = [this.#scene.gray, this.#wanted.gray];
    const stride = this.#scene.width;
    const order = this.#order;
    let sum = 0;
    for (let i = 0; i < order.length; i++) {
      const row = order[i] as number;
      let from = (y + row) * stride + x;
      let at = row * width;
      for (const end = at + width; at < end; at++, from++) {
        const difference = (scene[from] as number) - (wanted[at] as number);
        sum += difference * difference;
      }
      if (sum > most) return sum;
    }
    return sum;
  }
}

/** Summed tables of both pictures; `stride` is the scene's. */
interface Sums {
  readonly scene: Int32Array;
  readonly wanted: Int32Array;
  readonly stride: number;
}

/** A block of the area: its corners in the scene's table, from a place's own, and what it adds up to. */
interface Block {
  readonly leftTop: number;
  readonly rightTop: number;
  readonly leftBottom: number;
  readonly rightBottom: number;
  readonly total: number;
  /** One by its pixels; a little less, for what single precision may add. */
  readonly share: number;
}

function blocksOf(
  { width, height }: GrayPart,
  { wanted, stride }: Sums,
  [across, down]: readonly [across: number, down: number],
): Block[] {
  const wide = width + 1;
  const blocks: Block[] = [];
  const [lefts, tops] = [cuts(width, across), cuts(height, down)];
  for (let row = 0; row + 1 < tops.length; row++) {
    const [top, bottom] = [tops[row] as number, tops[row + 1] as number];
    for (let column = 0; column + 1 < lefts.length; column++) {
      const [left, right] = [lefts[column] as number, lefts[column + 1] as number];
      const total = (wanted[bottom * wide + right] as number) - (wanted[bottom * wide + left] as number) -
        (wanted[top * wide + right] as number) + (wanted[top * wide + left] as number);
      blocks.push({
        leftTop: top * stride + left,
        rightTop: top * stride + right,
        leftBottom: bottom * stride + left,
        rightBottom: bottom * stride + right,
        total,
        share: (1 - 1e-5) / ((bottom - top) * (right - left)),
      });
    }
  }
  return blocks;
}

/** Adds what one block says to each place's bound. */
function addBounds(bounds: Float32Array, across: number, { scene, stride }: Sums, block: Block): void {
  const { leftTop, rightTop, leftBottom, rightBottom, total, share } = block;
  for (let place = 0, row = 0; place < bounds.length; row += stride) {
    for (let from = row; from < row + across; from++, place++) {
      const apart = (scene[from + rightBottom] as number) - (scene[from + leftBottom] as number) -
        (scene[from + rightTop] as number) + (scene[from + leftTop] as number) - total;
      bounds[place] = (bounds[place] as number) + apart * apart * share;
    }
  }
}

/** What all blocks say of one place; some number above `most` when it is above that. */
function boundAt(from: number, { scene }: Sums, blocks: readonly Block[], most: number): number {
  let bound = 0;
  for (let i = 0; i < blocks.length && bound <= most; i++) {
    const { leftTop, rightTop, leftBottom, rightBottom, total, share } = blocks[i] as Block;
    const apart = (scene[from + rightBottom] as number) - (scene[from + leftBottom] as number) -
      (scene[from + rightTop] as number) + (scene[from + leftTop] as number) - total;
    bound += apart * apart * share;
  }
  return bound;
}

function lowestOf(bounds: Float32Array): number {
  let lowest = 0;
  for (let place = 1; place < bounds.length; place++) {
    if ((bounds[place] as number) < (bounds[lowest] as number)) lowest = place;
  }
  return lowest;
}

/** Where blocks begin, and the end of the last. */
function cuts(size: number, blocks: number): number[] {
  const count = Math.min(size, blocks);
  return Array.from({ length: count + 1 }, (_, i) => Math.floor(i * size / count));
}

/** For each corner of pixels, the sum of all pixels above and to the left of it. */
function summed({ width, height, gray }: GrayPart): Int32Array {
  const stride = width + 1;
  const sums = new Int32Array(stride * (height + 1));
  for (let y = 0, from = 0, to = stride; y < height; y++) {
    to++;
    for (let x = 0, row = 0; x < width; x++, to++) {
      row += gray[from++] as number;
      sums[to] = (sums[to - stride] as number) + row;
    }
  }
  return sums;
}

function rowsByContent({ width, height, gray }: GrayPart): Int32Array {
  const content = new Float64Array(height);
  for (let row = 0, at = 0; row < height; row++) {
    let [sum, squares] = [0, 0];
    for (const end = at + width; at < end; at++) {
      const value = gray[at] as number;
      sum += value;
      squares += value * value;
    }
    content[row] = squares - sum * sum / width;
  }
  return Int32Array.from({ length: height }, (_, row) => row)
    .sort((a, b) => (content[b] as number) - (content[a] as number));
}
