/**
 * A font of fixed cells, and the search for a glyph in it: by a hash of the cell's rows, then row by row.
 * Glyphs that look alike (the three blanks of code page 437) are one: the first one that is ASCII.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { CODE_PAGE_437 } from "./code_page_437.ts";
import { VGA_8X14, VGA_8X16, VGA_8X8 } from "./vga_fonts.ts";

/** Glyphs of one font at most: what a Linux console has. */
export const MAX_GLYPHS = 512;
/** Pixels of a cell at most, in each direction. */
export const MAX_GLYPH_SIDE = 32;

const SLOTS = 2048;
const HASH_START = 0x811c_9dc5 | 0;

/** The hash of a cell, row by row from {@linkcode hashStart}. */
export function hashRow(hash: number, row: number): number {
  const mixed = Math.imul(hash ^ row, 0x0100_0193);
  return mixed ^ mixed >>> 15;
}

/** The hash of no rows. */
export const hashStart: number = HASH_START;

/** A font. */
export class GlyphFont {
  /** What it is called, for messages. */
  readonly name: string;
  /** Pixels of a glyph in a row. */
  readonly width: number;
  /** Rows of a glyph. */
  readonly height: number;
  /** The character of each glyph. */
  readonly characters: readonly string[];
  /** The rows of all glyphs: the leftmost pixel in bit `width - 1`. */
  readonly rows: Int32Array;
  /** Glyph number + 1 by hash; 0 = none. */
  readonly #slots = new Int16Array(SLOTS);

  /**
   * Makes a font.
   *
   * @param name what it is called
   * @param width pixels of a glyph in a row
   * @param height rows of a glyph
   * @param rows all rows of all glyphs
   * @param characters one a glyph
   */
  constructor(
    name: string,
    width: number,
    height: number,
    rows: Int32Array,
    characters: readonly string[] = CODE_PAGE_437,
  ) {
    const count = characters.length;
    assert(
      width >= 1 && width <= MAX_GLYPH_SIDE && height >= 1 && height <= MAX_GLYPH_SIDE,
      "a glyph's size",
    );
    assert(count <= MAX_GLYPHS && rows.length === count * height, "a font has all of its glyphs");
    this.name = name;
    this.width = width;
    this.height = height;
    this.rows = rows;
    this.characters = characters;
    // ASCII first: of glyphs that look alike the first one in is found.
    for (const isAscii of [true, false]) {
      for (let i = 0; i < count; i++) {
        const code = (characters[i] as string).codePointAt(0) ?? 0;
        if ((code >= 32 && code < 127) === isAscii) this.#insert(i);
      }
    }
  }

  /**
   * A font whose glyphs are rows of whole bytes, the leftmost pixel in the first byte's bit 7.
   *
   * @throws {Fault} `bad-argument` for sizes that are not possible, or too few bytes
   */
  static fromBytes(
    name: string,
    size: { readonly width: number; readonly height: number; readonly count: number },
    bytes: Uint8Array,
    characters: readonly string[] = CODE_PAGE_437,
  ): GlyphFont {
    const { width, height, count } = size;
    const rowBytes = (width + 7) >>> 3;
    const isPossible =
      [width, height].every((side) => Number.isInteger(side) && side >= 4 && side <= MAX_GLYPH_SIDE) &&
      Number.isInteger(count) && count >= 1 && count <= characters.length && count <= MAX_GLYPHS &&
      bytes.length >= count * height * rowBytes;
    if (!isPossible) {
      throw new Fault("bad-argument", `Cannot use a font of ${count} glyphs of ${width}x${height}`);
    }
    const rows = new Int32Array(count * height);
    for (let i = 0, at = 0; i < rows.length; i++) {
      let bits = 0;
      for (let byte = 0; byte < rowBytes; byte++) bits = bits << 8 | (bytes[at++] as number);
      rows[i] = bits >>> 8 * rowBytes - width;
    }
    return new GlyphFont(name, width, height, rows, characters.slice(0, count));
  }

  /**
   * Finds a glyph.
   *
   * @param hash of its rows
   * @param cell its rows
   * @returns its number, or -1
   */
  find(hash: number, cell: Int32Array): number {
    for (let slot = hash & SLOTS - 1;; slot = slot + 1 & SLOTS - 1) {
      const glyph = (this.#slots[slot] as number) - 1;
      if (glyph < 0 || this.#isGlyph(glyph, cell)) return glyph;
    }
  }

  /**
   * Finds the glyph that looks like a cell but for some rows, which a cursor covers. A cell that is blank
   * beside the cursor is a blank, though it might be an underline.
   *
   * @param cell its rows
   * @param from the first row that is covered
   * @param to the row behind the last one
   * @returns its number; -1 when there is none, -2 when there are several (g and q under a VGA's cursor)
   */
  findAround(cell: Int32Array, from: number, to: number): number {
    let found = -1;
    for (let glyph = 0; glyph < this.characters.length; glyph++) {
      const pixels = this.#pixelsAround(glyph, cell, from, to);
      if (pixels === Infinity) continue;
      const first = this.find(this.#hashOf(glyph), this.#rowsOf(glyph));
      if (pixels === 0 && this.#rowsOf(glyph).every((row) => row === 0)) return first;
      found = found === -1 || found === first ? first : -2;
    }
    return found;
  }

  /** The covered pixels of a glyph that is like the cell elsewhere; Infinity for any other. */
  #pixelsAround(glyph: number, cell: Int32Array, from: number, to: number): number {
    let pixels = 0;
    for (let y = 0, at = glyph * this.height; y < this.height; y++, at++) {
      const row = this.rows[at] as number;
      if (y < from || y >= to) {
        if (row !== cell[y]) return Infinity;
        continue;
      }
      for (let bits = row; bits !== 0; bits &= bits - 1) pixels++;
    }
    return pixels;
  }

  #insert(glyph: number): void {
    const rows = this.#rowsOf(glyph);
    const hash = this.#hashOf(glyph);
    if (this.find(hash, rows) >= 0) return;
    let slot = hash & SLOTS - 1;
    while (this.#slots[slot] !== 0) slot = slot + 1 & SLOTS - 1;
    this.#slots[slot] = glyph + 1;
  }

  #rowsOf(glyph: number): Int32Array {
    return this.rows.subarray(glyph * this.height, (glyph + 1) * this.height);
  }

  #hashOf(glyph: number): number {
    return this.#rowsOf(glyph).reduce(hashRow, hashStart);
  }

  #isGlyph(glyph: number, cell: Int32Array): boolean {
    for (let y = 0, at = glyph * this.height; y < this.height; y++, at++) {
      if (this.rows[at] !== cell[y]) return false;
    }
    return true;
  }
}

let known: readonly GlyphFont[] | undefined;

/** The fonts of a VGA's ROM: 8x16, 8x14, 8x8. */
export function vgaFonts(): readonly GlyphFont[] {
  known ??= ([[16, VGA_8X16], [14, VGA_8X14], [8, VGA_8X8]] as const).map(([height, text]) => {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return GlyphFont.fromBytes(`VGA 8x${height}`, { width: 8, height, count: 256 }, bytes);
  });
  return known;
}
