/**
 * Reads a picture of a text screen back into text, glyph by glyph. This is exact, because a console draws
 * each character with the same pixels. The font and the grid's origin are found from places with ink; then
 * each cell has two colours, and its pattern is looked up. An unknown glyph is reported as such, never
 * guessed.
 *
 * Not for text that is drawn differently: proportional or anti-aliased fonts.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { CellScan, type GlyphFrame } from "./glyph_cell.ts";
import type { GlyphFont } from "./glyph_font.ts";
import {
  MAX_TEXT_CELLS,
  type ScreenText,
  TextBuilder,
  type TextPlace,
  UNKNOWN_CHARACTER,
} from "./screen_text.ts";

/** Places with ink that decide about a grid. */
const MAX_POINTS = 48;
/** One such place is looked for in each square of so many pixels. */
const SQUARE = 32;
/** Share of those places whose cell must be a glyph, for the grid at the picture's corner. */
const CORNER_SHARE = 0.7;
/** The same for a grid that begins anywhere, of which many are tried; and how many places there must be. */
const ANYWHERE_SHARE = 0.85;
const ANYWHERE_POINTS = 8;

/** Cells of a font in a picture. */
interface Grid {
  /** Fonts of one size, the likeliest first. */
  readonly fonts: readonly GlyphFont[];
  /** Pixels of a cell in a row: the font's, or one more. */
  readonly cellWidth: number;
  /** The first cell's first pixel. */
  readonly x: number;
  /** Its row. */
  readonly y: number;
}

/** Reads pictures of text screens; it tries first what fitted last. */
export class GlyphReader {
  readonly #sizes: readonly (readonly GlyphFont[])[];
  readonly #scan = new CellScan();
  #last: Grid | undefined;

  /**
   * A reader for some fonts.
   *
   * @param fonts those that were learnt first (a guest's own), then the ones that every PC has
   */
  constructor(fonts: readonly GlyphFont[]) {
    const sizes = new Map<string, GlyphFont[]>();
    for (const font of fonts) {
      const key = `${font.width}x${font.height}`;
      sizes.set(key, [...sizes.get(key) ?? [], font]);
    }
    this.#sizes = [...sizes.values()];
  }

  /**
   * Reads a picture.
   *
   * @returns undefined when it shows no text screen in one of the fonts, or nothing at all
   */
  read(frame: GlyphFrame): ScreenText | undefined {
    const { width, height, strideWords, words } = frame;
    assert(strideWords >= width && words.length >= (height - 1) * strideWords + width, "a picture is whole");
    const points = inkOf(frame);
    if (points.length === 0) return undefined;
    const grid = this.#gridOf(frame, points);
    if (grid === undefined) return undefined;
    const text = this.#readCells(frame, grid);
    if (text !== undefined) this.#last = grid;
    return text;
  }

  #gridOf(frame: GlyphFrame, points: readonly number[]): Grid | undefined {
    const last = this.#last;
    if (last !== undefined && this.#share(frame, last, points) >= ANYWHERE_SHARE) return last;
    let best: Grid | undefined;
    let bestShare = CORNER_SHARE;
    for (const fonts of this.#sizes) {
      for (const font of fonts) {
        for (const cellWidth of widthsOf(font)) {
          const likely = [font, ...fonts.filter((other) => other !== font)];
          const share = this.#share(frame, { fonts: [font], cellWidth, x: 0, y: 0 }, points);
          if (share <= bestShare) continue;
          best = { fonts: likely, cellWidth, x: 0, y: 0 };
          bestShare = share;
        }
      }
    }
    return best ?? this.#gridAnywhere(frame, points);
  }

  /** Tries every place that a grid can begin at. */
  #gridAnywhere(frame: GlyphFrame, points: readonly number[]): Grid | undefined {
    if (points.length < ANYWHERE_POINTS) return undefined;
    let best: Grid | undefined;
    let bestShare = ANYWHERE_SHARE;
    for (const fonts of this.#sizes) {
      const [font] = fonts as readonly [GlyphFont, ...GlyphFont[]];
      for (const cellWidth of widthsOf(font)) {
        for (let y = 0; y < font.height; y++) {
          for (let x = 0; x < cellWidth; x++) {
            const grid = { fonts, cellWidth, x, y };
            const share = this.#share(frame, grid, points);
            if (share <= bestShare) continue;
            best = grid;
            bestShare = share;
          }
        }
      }
    }
    return best;
  }

  /** Share of the places with ink whose cell is a glyph; given up once it cannot be enough any more. */
  #share(frame: GlyphFrame, grid: Grid, points: readonly number[]): number {
    const { fonts, cellWidth, x, y } = grid;
    const { height } = fonts[0] as GlyphFont;
    let misses = 0;
    const most = points.length * (1 - CORNER_SHARE);
    for (const point of points) {
      const column = Math.floor((point % frame.width - x) / cellWidth);
      const row = Math.floor((Math.floor(point / frame.width) - y) / height);
      const left = x + column * cellWidth;
      const top = y + row * height;
      const isWhole = column >= 0 && row >= 0 && left + cellWidth <= frame.width &&
        top + height <= frame.height;
      const kind = isWhole
        ? this.#scan.read(frame, top * frame.strideWords + left, cellWidth, fonts, -1)
        : "unknown";
      if (kind !== "unknown") continue;
      if (++misses > most) return 0;
    }
    return 1 - misses / points.length;
  }

  #readCells(frame: GlyphFrame, { fonts, cellWidth, x, y }: Grid): ScreenText | undefined {
    const { height } = fonts[0] as GlyphFont;
    const columns = Math.floor((frame.width - x) / cellWidth);
    const rows = Math.floor((frame.height - y) / height);
    if (columns < 1 || rows < 1 || columns * rows > MAX_TEXT_CELLS) return undefined;
    const text = new TextBuilder(columns, rows);
    const scan = this.#scan;
    const colour = frame.isRgb ? swapped : plain;
    const likely = backgroundOf(frame);
    let foreground = 0xaa_aaaa;
    let cursor: TextPlace | undefined;
    let [glyphs, unknown] = [0, 0];
    for (let row = 0; row < rows; row++) {
      let at = (y + row * height) * frame.strideWords + x;
      for (let column = 0; column < columns; column++, at += cellWidth) {
        const kind = scan.read(frame, at, cellWidth, fonts, likely);
        if (kind === "blank") {
          text.add(" ", foreground, colour(scan.background));
          continue;
        }
        if (kind === "unknown" || (kind === "cursor" && cursor !== undefined)) {
          unknown++;
          text.add(UNKNOWN_CHARACTER, foreground, colour(likely));
          continue;
        }
        if (kind === "cursor") cursor = { column, row };
        glyphs++;
        foreground = colour(scan.foreground);
        const characters = scan.font?.characters as readonly string[];
        text.add(characters[scan.glyph] ?? UNKNOWN_CHARACTER, foreground, colour(scan.background));
      }
    }
    return unknown > glyphs ? undefined : text.finish("glyphs", cursor);
  }
}

function widthsOf(font: GlyphFont): readonly number[] {
  return font.width === 8 ? [8, 9] : [font.width];
}

/** Places where a pixel differs from its left neighbour: at most one a square, spread over the picture. */
function inkOf({ width, height, strideWords, words }: GlyphFrame): number[] {
  const all: number[] = [];
  for (let top = 0; top < height; top += SQUARE) {
    for (let left = 0; left < width; left += SQUARE) {
      const place = inkIn(
        words,
        strideWords,
        left,
        top,
        Math.min(width, left + SQUARE),
        Math.min(height, top + SQUARE),
      );
      if (place >= 0) all.push(Math.floor(place / strideWords) * width + place % strideWords);
    }
  }
  if (all.length <= MAX_POINTS) return all;
  return Array.from({ length: MAX_POINTS }, (_, i) => all[Math.floor(i * all.length / MAX_POINTS)] as number);
}

/**
 * Index of the first pixel in a square that differs from its left neighbour; -1 when none does. Its arguments
 * are not an object, which would be allocated per square of every picture.
 */
function inkIn(
  words: Int32Array<ArrayBufferLike>,
  strideWords: number,
  left: number,
  top: number,
  right: number,
  bottom: number,
): number {
  for (let y = top; y < bottom; y++) {
    const row = y * strideWords;
    for (let at = row + left + 1, end = row + right; at < end; at++) {
      if ((((words[at] as number) ^ (words[at - 1] as number)) & 0xff_ffff) !== 0) return at;
    }
  }
  return -1;
}

/** The commonest colour of a few hundred places. */
function backgroundOf({ width, height, strideWords, words }: GlyphFrame): number {
  const counts = new Map<number, number>();
  let best = 0;
  let most = 0;
  for (let i = 0; i < 256; i++) {
    const y = Math.floor((i >> 4) * height / 16);
    const x = Math.floor((i & 15) * width / 16);
    const colour = (words[y * strideWords + x] as number) & 0xff_ffff;
    const count = (counts.get(colour) ?? 0) + 1;
    counts.set(colour, count);
    if (count <= most) continue;
    most = count;
    best = colour;
  }
  return best;
}

function plain(colour: number): number {
  return colour;
}

function swapped(colour: number): number {
  return (colour & 0xff) << 16 | colour & 0xff00 | colour >>> 16;
}
