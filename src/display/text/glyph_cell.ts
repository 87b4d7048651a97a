/**
 * One cell of a picture, as a pattern of two colours, and the glyph that it is: as it stands, inverse, or
 * under a cursor.
 * @module
 */
import { type GlyphFont, hashRow, hashStart, MAX_GLYPH_SIDE } from "./glyph_font.ts";

/** A picture to read: 32 bits a pixel. */
export interface GlyphFrame {
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Words from row to row. */
  readonly strideWords: number;
  /** The pixels; only the lower 24 bits count. */
  readonly words: Int32Array<ArrayBufferLike>;
  /** Whether red is in the lowest byte (RGBA in memory), and not blue (BGRX, a canvas). */
  readonly isRgb: boolean;
}

/** How a cell was read. */
export type CellKind = "blank" | "glyph" | "cursor" | "unknown";

const COLOUR = 0xff_ffff;
const NO_COLOUR = -1;

/** Reads cells; what was found stands in its fields until the next one. */
export class CellScan {
  /** The glyph's number in {@linkcode font}; below 0 when a cursor hides which one of several it is. */
  glyph: number = -1;
  /** The font that it was found in. */
  font: GlyphFont | undefined;
  /** Its colour, as it stands in the picture. */
  foreground = 0;
  /** The colour around it. */
  background = 0;
  readonly #rows = new Int32Array(MAX_GLYPH_SIDE);
  readonly #inverse = new Int32Array(MAX_GLYPH_SIDE);
  /** Each row's ninth pixel: 1 when it is not of the first colour. */
  readonly #ninth = new Int32Array(MAX_GLYPH_SIDE);
  #first = 0;
  #second = 0;

  /**
   * Reads a cell.
   *
   * @param frame the picture, in which the cell lies
   * @param at the cell's first pixel
   * @param cellWidth its width: the fonts', or one pixel more
   * @param fonts all of the same size, the likeliest first
   * @param likely the background that is preferred when a cell can be read either way
   */
  read(
    frame: GlyphFrame,
    at: number,
    cellWidth: number,
    fonts: readonly GlyphFont[],
    likely: number,
  ): CellKind {
    const { width, height } = fonts[0] as GlyphFont;
    if (!this.#sample(frame, at, width, height, cellWidth > width)) return "unknown";
    if (this.#second === NO_COLOUR) {
      this.background = this.#first;
      return "blank";
    }
    const full = 2 ** width - 1 | 0;
    let [hash, inverseHash] = [hashStart, hashStart];
    for (let y = 0; y < height; y++) {
      const row = this.#rows[y] as number;
      this.#inverse[y] = ~row & full;
      hash = hashRow(hash, row);
      inverseHash = hashRow(inverseHash, ~row & full);
    }
    for (const font of fonts) {
      const plain = this.#accept(font.find(hash, this.#rows), height, false);
      const inverse = this.#accept(font.find(inverseHash, this.#inverse), height, true);
      if (plain < 0 && inverse < 0) continue;
      const isInverse = plain < 0 || (inverse >= 0 && likely === this.#second);
      this.#take(font, isInverse ? inverse : plain, isInverse);
      return "glyph";
    }
    return fonts.some((font) => this.#underCursor(font, full)) ? "cursor" : "unknown";
  }

  /** Reads the pixels; false when there are more than two colours. */
  #sample(frame: GlyphFrame, at: number, width: number, height: number, hasNinth: boolean): boolean {
    const { words, strideWords } = frame;
    const first = (words[at] as number) & COLOUR;
    let second = NO_COLOUR;
    for (let y = 0, row = at; y < height; y++, row += strideWords) {
      let bits = 0;
      for (let x = row, end = row + width; x < end; x++) {
        const pixel = (words[x] as number) & COLOUR;
        if (pixel === first) bits <<= 1;
        else if (pixel === second) bits = bits << 1 | 1;
        else if (second === NO_COLOUR) {
          second = pixel;
          bits = bits << 1 | 1;
        } else return false;
      }
      this.#rows[y] = bits;
      if (!hasNinth) continue;
      const ninth = (words[row + width] as number) & COLOUR;
      if (ninth !== first && ninth !== second) return false;
      this.#ninth[y] = ninth === first ? 0 : 1;
    }
    if (!hasNinth) this.#ninth.fill(-1);
    this.#first = first;
    this.#second = second;
    return true;
  }

  /** A glyph whose ninth column is that of the background, or the eighth one again; else -1. */
  #accept(glyph: number, height: number, isInverse: boolean): number {
    if (glyph < 0 || (this.#ninth[0] as number) < 0) return glyph;
    const rows = isInverse ? this.#inverse : this.#rows;
    for (let y = 0; y < height; y++) {
      const ninth = isInverse ? 1 - (this.#ninth[y] as number) : this.#ninth[y] as number;
      if (ninth === 1 && ((rows[y] as number) & 1) === 0) return -1;
    }
    return glyph;
  }

  #take(font: GlyphFont, glyph: number, isInverse: boolean): void {
    this.font = font;
    this.glyph = glyph;
    this.foreground = isInverse ? this.#first : this.#second;
    this.background = isInverse ? this.#second : this.#first;
  }

  /**
   * Whether it is a glyph with a line through its lower half: one that inverts what is under it (Linux), or
   * covers it (a VGA).
   */
  #underCursor(font: GlyphFont, full: number): boolean {
    for (const isInverse of [false, true]) {
      const rows = isInverse ? this.#inverse : this.#rows;
      for (let lines = 1; lines <= 2; lines++) {
        const from = font.height - lines;
        for (let y = from; y < font.height; y++) rows[y] = ~(rows[y] as number) & full;
        const hash = rows.subarray(0, font.height).reduce(hashRow, hashStart);
        const glyph = font.find(hash, rows);
        for (let y = from; y < font.height; y++) rows[y] = ~(rows[y] as number) & full;
        if (glyph < 0) continue;
        this.#take(font, glyph, isInverse);
        return true;
      }
      let from = font.height;
      while (from > font.height >> 1 && rows[from - 1] !== full) from--;
      const to = from;
      while (from > font.height >> 1 && rows[from - 1] === full) from--;
      const glyph = from === to ? -1 : font.findAround(rows, from, to);
      if (glyph === -1) continue;
      this.#take(font, glyph, isInverse);
      return true;
    }
    return false;
  }
}
