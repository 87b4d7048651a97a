/**
 * What of a picture a viewer does not have yet, in tiles of {@linkcode TILE} pixels: as coarse as QEMU's VNC
 * server has it, and cheap to keep for each viewer.
 * @module
 */
import { assert } from "../../base/assert.ts";

/** Pixels of a tile's side. */
export const TILE = 16;
/**
 * Pixels of the largest rectangle that is sent as one: palettes stay local, and an encoder's memory small.
 */
export const MAX_RECT_PIXELS: number = 1280 * 64;
/** Pixels of its longest row: as Tight allows. */
export const MAX_RECT_WIDTH = 2048;

/** A part of the picture, in pixels. */
export interface Rect {
  /** From the left. */
  readonly x: number;
  /** From the top. */
  readonly y: number;
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

/** Tiles that are marked. */
export class DirtyTiles {
  #width = 0;
  #height = 0;
  #columns = 0;
  #rows = 0;
  #marks = new Uint8Array(0);
  /** Marked tiles. */
  #count = 0;

  /** Whether no tile is marked. */
  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** The picture has this size from now on; nothing is marked. */
  resize(width: number, height: number): void {
    assert(width >= 0 && height >= 0, "a picture has a size");
    this.#width = width;
    this.#height = height;
    this.#columns = Math.ceil(width / TILE);
    this.#rows = Math.ceil(height / TILE);
    this.#marks = new Uint8Array(this.#columns * this.#rows);
    this.#count = 0;
  }

  /** Marks one tile. */
  markTile(column: number, row: number): void {
    const at = row * this.#columns + column;
    this.#count += 1 - (this.#marks[at] as number);
    this.#marks[at] = 1;
  }

  /** Marks whatever a rectangle touches; what of it lies outside of the picture does not count. */
  mark({ x, y, width, height }: Rect): void {
    const right = Math.min(x + width, this.#width);
    const bottom = Math.min(y + height, this.#height);
    if (right <= x || bottom <= y) return;
    for (let row = Math.floor(y / TILE); row * TILE < bottom; row++) {
      for (let column = Math.floor(x / TILE); column * TILE < right; column++) this.markTile(column, row);
    }
  }

  /** Marks what another one of the same picture has marked. */
  add(other: DirtyTiles): void {
    assert(other.#marks.length === this.#marks.length, "both are of one picture");
    if (other.isEmpty) return;
    const [to, from] = [this.#marks, other.#marks];
    let count = 0;
    for (let i = 0; i < to.length; i++) count += to[i] = (to[i] as number) | (from[i] as number);
    this.#count = count;
  }

  /** Nothing is marked any more. */
  clear(): void {
    if (this.#count > 0) this.#marks.fill(0);
    this.#count = 0;
  }

  /**
   * Takes what is marked out, as rectangles that do not overlap.
   *
   * @param clip nothing outside of it is taken, and nothing outside of it stays marked
   */
  take(clip: Rect): Rect[] {
    const rects: Rect[] = [];
    for (let row = 0; row < this.#rows && this.#count > 0; row++) {
      for (let column = 0; column < this.#columns; column++) {
        if (this.#marks[row * this.#columns + column] === 0) continue;
        const rect = clipped(this.#takeFrom(column, row), clip);
        if (rect !== undefined) rects.push(rect);
      }
    }
    return rects;
  }

  /** The largest rectangle of marked tiles that begins here: first to the right, then down. */
  #takeFrom(column: number, row: number): Rect {
    const marks = this.#marks;
    const columns = this.#columns;
    const most = Math.min(columns, column + MAX_RECT_WIDTH / TILE);
    let end = column + 1;
    while (end < most && marks[row * columns + end] === 1) end++;
    const mostRows = Math.max(1, Math.floor(MAX_RECT_PIXELS / ((end - column) * TILE * TILE)));
    let bottom = row + 1;
    while (bottom < this.#rows && bottom - row < mostRows && this.#isMarked(bottom, column, end)) bottom++;
    for (let y = row; y < bottom; y++) marks.fill(0, y * columns + column, y * columns + end);
    this.#count -= (end - column) * (bottom - row);
    const [x, y] = [column * TILE, row * TILE];
    return {
      x,
      y,
      width: Math.min(end * TILE, this.#width) - x,
      height: Math.min(bottom * TILE, this.#height) - y,
    };
  }

  #isMarked(row: number, from: number, to: number): boolean {
    for (let i = row * this.#columns + from; i < row * this.#columns + to; i++) {
      if (this.#marks[i] === 0) return false;
    }
    return true;
  }
}

function clipped(rect: Rect, clip: Rect): Rect | undefined {
  const x = Math.max(rect.x, clip.x);
  const y = Math.max(rect.y, clip.y);
  const width = Math.min(rect.x + rect.width, clip.x + clip.width) - x;
  const height = Math.min(rect.y + rect.height, clip.y + clip.height) - y;
  return width > 0 && height > 0 ? { x, y, width, height } : undefined;
}
