/**
 * The picture of a VGA's text mode, drawn as QEMU draws it, out of its cells and its fonts: a screendump's
 * bit for bit, but for the cursor, which does not blink here. Only cells that changed are drawn.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { Canvas } from "../canvas.ts";
import { CellReader, cursorOf, FONT_BYTES, readVgaFont, type TextMode } from "./text_mode.ts";
import type { VideoMemory } from "./video_memory.ts";

/** No cell: what is not drawn yet differs from every one. */
const NOTHING = -1;

/** Draws the text of one VGA. */
export class TextPicture {
  readonly #reader = new CellReader();
  readonly #fonts = [new Uint8Array(FONT_BYTES), new Uint8Array(FONT_BYTES)] as const;
  readonly #font = new Uint8Array(FONT_BYTES);
  readonly #colours = new Int32Array(16);
  #cells = new Uint16Array(0);
  #drawn = new Int32Array(0);

  /** What was drawn is forgotten: the next picture is drawn as a whole. */
  forget(): void {
    this.#drawn.fill(NOTHING);
  }

  /**
   * Draws what changed, and tells the canvas.
   *
   * @param memory the VGA's
   * @param mode its mode; the canvas has its size
   * @param colours the sixteen of them
   * @returns false when QEMU has gone
   */
  paint(memory: VideoMemory, mode: TextMode, colours: readonly number[], canvas: Canvas): boolean {
    const { columns, rows, cellWidth, cellHeight } = mode;
    assert(canvas.width === columns * cellWidth && canvas.height === rows * cellHeight, "the canvas fits");
    const count = columns * rows;
    if (this.#cells.length !== count) {
      this.#cells = new Uint16Array(count);
      this.#drawn = new Int32Array(count).fill(NOTHING);
    }
    if (!this.#reader.read(memory, mode, this.#cells) || !this.#readFonts(memory, mode)) return false;
    this.#readColours(colours);
    const place = cursorOf(mode);
    const cursor = place === undefined ? NOTHING : place.row * columns + place.column;
    const shape = mode.cursor === undefined ? 0 : mode.cursor.first << 5 | mode.cursor.last;
    let [left, top, right, bottom] = [columns, rows, 0, 0];
    for (let i = 0; i < count; i++) {
      const cell = (this.#cells[i] as number) | (i === cursor ? 1 << 16 | shape << 17 : 0);
      if (cell === this.#drawn[i]) continue;
      this.#drawn[i] = cell;
      const [column, row] = [i % columns, Math.floor(i / columns)];
      this.#draw(mode, cell, canvas, row * cellHeight * canvas.stride / 4 + column * cellWidth);
      left = Math.min(left, column);
      right = Math.max(right, column + 1);
      top = Math.min(top, row);
      bottom = row + 1;
    }
    if (right === 0) return true;
    const [x, y] = [left * cellWidth, top * cellHeight];
    canvas.damage(x, y, right * cellWidth - x, bottom * cellHeight - y);
    return true;
  }

  /** One cell, its first pixel at `at`. */
  #draw(mode: TextMode, cell: number, canvas: Canvas, at: number): void {
    const { cellWidth, cellHeight, cursor } = mode;
    const { words } = canvas;
    const rowWords = canvas.stride / 4;
    const code = cell & 0xff;
    const foreground = this.#colours[cell >>> 8 & 15] as number;
    const background = this.#colours[cell >>> 12 & 15] as number;
    const font = this.#fonts[cell >>> 11 & 1] as Uint8Array;
    const isCursor = (cell >>> 16 & 1) !== 0 && cursor !== undefined;
    const isJoined = mode.joinsLines && code >= 0xb0 && code <= 0xdf;
    for (let y = 0; y < cellHeight; y++, at += rowWords) {
      const isLine = isCursor && y >= cursor.first && y <= cursor.last;
      const bits = isLine ? 0xff : font[32 * code + y] as number;
      if (cellWidth === 16) {
        for (let x = 0; x < 16; x++) {
          words[at + x] = (bits >>> 7 - (x >>> 1) & 1) !== 0 ? foreground : background;
        }
        continue;
      }
      for (let x = 0; x < 8; x++) words[at + x] = (bits >>> 7 - x & 1) !== 0 ? foreground : background;
      if (cellWidth === 9) words[at + 8] = isLine || (isJoined && (bits & 1) !== 0) ? foreground : background;
    }
  }

  #readFonts(memory: VideoMemory, mode: TextMode): boolean {
    for (const i of [0, 1] as const) {
      if (!readVgaFont(memory, mode.fonts[i], this.#font)) return false;
      const known = this.#fonts[i];
      let differs = 0;
      for (let at = 0; at < FONT_BYTES; at++) differs |= (known[at] as number) ^ (this.#font[at] as number);
      if (differs === 0) continue;
      known.set(this.#font);
      this.forget();
    }
    return true;
  }

  #readColours(colours: readonly number[]): void {
    let differs = 0;
    for (let i = 0; i < 16; i++) {
      differs |= (this.#colours[i] as number) ^ (colours[i] as number);
      this.#colours[i] = colours[i] as number;
    }
    if (differs !== 0) this.forget();
  }
}
