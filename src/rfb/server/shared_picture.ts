/**
 * The picture that all viewers of one screen are shown: the server's own copy, because a viewer's update is
 * made when the viewer wants one, and the frame that it came from may be overwritten by then. A frame's
 * damage says where to look; of that only tiles that really differ are taken over and sent.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { DirtyTiles, type Rect, TILE } from "./dirty_tiles.ts";
import type { Scroll } from "./scroll_search.ts";

/** Blue, green and red of a word; what is above them means nothing. */
const COLOUR = 0xff_ffff;

/** The picture. */
export class SharedPicture {
  /** Pixels in a row; 0 while there is none. */
  width = 0;
  /** Rows. */
  height = 0;
  /** 0x00RRGGBB, row by row. */
  words: Int32Array<ArrayBuffer> = new Int32Array(0);
  /** Grows with every change: what was encoded of an older one holds no more. */
  version = 0;
  /** What {@linkcode take} has changed since this was cleared. */
  readonly changed: DirtyTiles = new DirtyTiles();

  /** It has another size from now on, and is black. */
  resize(width: number, height: number): void {
    this.width = width;
    this.height = height;
    this.words = new Int32Array(width * height);
    this.version++;
    this.changed.resize(width, height);
    this.changed.mark({ x: 0, y: 0, width, height });
  }

  /** Rows of it are at another height from now on. */
  scroll({ to, fromY }: Scroll): void {
    const { words, width } = this;
    const isDown = to.y > fromY;
    for (let i = 0; i < to.height; i++) {
      const row = isDown ? to.height - 1 - i : i;
      const from = (fromY + row) * width + to.x;
      words.copyWithin((to.y + row) * width + to.x, from, from + to.width);
    }
    this.version++;
  }

  /**
   * Takes over a part of a frame.
   *
   * @param frame its pixels as words: blue, green, red, anything
   * @param stride words from row to row
   * @param part where to look; whole tiles around it are looked at
   */
  take(frame: Int32Array<ArrayBufferLike>, stride: number, part: Rect): void {
    const { width, height } = this;
    assert(stride >= width && frame.length >= (height - 1) * stride + width, "a frame has all of its pixels");
    assert(part.x >= 0 && part.y >= 0, "a part lies in its frame");
    const right = Math.min(part.x + part.width, width);
    const bottom = Math.min(part.y + part.height, height);
    const first = part.x - part.x % TILE;
    for (let top = part.y - part.y % TILE; top < bottom; top += TILE) {
      const rows = Math.min(TILE, height - top);
      for (let left = first; left < right; left += TILE) {
        const columns = Math.min(TILE, width - left);
        if (
          this.#takeTile(frame, top * stride + left, stride, {
            x: left,
            y: top,
            width: columns,
            height: rows,
          })
        ) {
          this.changed.markTile(left / TILE, top / TILE);
        }
      }
    }
    if (!this.changed.isEmpty) this.version++;
  }

  #takeTile(frame: Int32Array<ArrayBufferLike>, at: number, stride: number, tile: Rect): boolean {
    const { words, width } = this;
    let to = tile.y * width + tile.x;
    let from = at;
    for (let row = 0; row < tile.height; row++, to += width, from += stride) {
      for (let i = 0; i < tile.width; i++) {
        if (((frame[from + i] as number) & COLOUR) !== words[to + i]) {
          this.#copyRows(frame, from, stride, { ...tile, y: tile.y + row, height: tile.height - row });
          return true;
        }
      }
    }
    return false;
  }

  #copyRows(frame: Int32Array<ArrayBufferLike>, at: number, stride: number, rows: Rect): void {
    const { words, width } = this;
    let to = rows.y * width + rows.x;
    let from = at;
    for (let row = 0; row < rows.height; row++, to += width, from += stride) {
      for (let i = 0; i < rows.width; i++) words[to + i] = (frame[from + i] as number) & COLOUR;
    }
  }
}
