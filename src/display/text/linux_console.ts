/**
 * The virtual consoles of a Linux guest, from its RAM: the contents of each, whether it is in the foreground
 * or not, and whether the screen is on or not.
 *
 * A console's cells are 16 bits each: glyph and attribute. They lie at vc_origin; for a console in front on a
 * VGA in text mode (vgacon) that is video memory, which is not RAM of the guest's: then it is told so, and
 * vga_text.ts reads it. Which character a glyph is, the console's Unicode map says; without one it is code
 * page 437, in which the kernel's own fonts are.
 *
 * Everything that is read comes from the guest: it is bounded, and inconsistent data is not a console.
 * @module
 */
import type { AddressSpace } from "../../guest/address_space.ts";
import type { LinuxGuest } from "../../guest/linux/linux_guest.ts";
import { isKernelPointer } from "../../guest/linux/kernel_view.ts";
import { CODE_PAGE_437 } from "./code_page_437.ts";
import type { ConsoleField, ConsoleTables } from "./linux_kernel_tables.ts";
import {
  MAX_TEXT_CELLS,
  type ScreenText,
  TextBuilder,
  type TextPlace,
  UNKNOWN_CHARACTER,
} from "./screen_text.ts";

/** Consoles that Linux has (MAX_NR_CONSOLES). */
export const MAX_CONSOLES = 63;

/** Linux' order of colours in the attribute (red and blue change places). */
const COLOUR_ORDER = [0, 4, 2, 6, 1, 5, 3, 7, 8, 12, 10, 14, 9, 13, 11, 15];
/** Directory, page and characters of a Unicode map. */
const MAP_DIRECTORIES = 32;
const MAP_PAGES = 32;
const MAP_CHARACTERS = 64;
const MAX_GLYPHS = 512;
/** Guest-physical addresses at which a VGA answers. */
const VGA_WINDOW = 0xa_0000;
const VGA_WINDOW_END = 0xc_0000;

/** A console, or why it cannot be read. */
export type ConsoleResult =
  | { readonly state: "read"; readonly text: ScreenText }
  /** It was never opened. */
  | { readonly state: "absent" }
  /** Its cells are in video memory: it is in front, on a VGA in text mode. */
  | { readonly state: "in-video-memory"; readonly console: number }
  /** What its structures say does not go together: they are just changing, or another kernel's. */
  | { readonly state: "malformed"; readonly detail: string };

/** Reads the consoles of one kernel. */
export class LinuxConsoles {
  readonly #space: AddressSpace;
  readonly #tables: ConsoleTables;

  /**
   * Takes what was found out about a kernel.
   *
   * @param os the guest
   * @param tables what `readConsoleTables` said of it
   */
  constructor(os: LinuxGuest, tables: ConsoleTables) {
    this.#space = os.kernel;
    this.#tables = tables;
  }

  /** The number of the console in front, from 1; undefined when this kernel has none. */
  get foreground(): number | undefined {
    const place = this.#tables.symbols.get("fg_console");
    const index = place === undefined ? NaN : this.#space.readS32(place);
    return index >= 0 && index < MAX_CONSOLES ? index + 1 : undefined;
  }

  /** Numbers of the consoles that exist. */
  numbers(): number[] {
    const all = Array.from({ length: MAX_CONSOLES }, (_, i) => i + 1);
    return all.filter((number) => this.#dataOf(number) !== undefined);
  }

  /**
   * Reads a console. The memory was verified or renewed before.
   *
   * @param number from 1; the one in front unless told
   */
  read(number: number | undefined = this.foreground): ConsoleResult {
    const data = number === undefined ? undefined : this.#dataOf(number);
    if (number === undefined || data === undefined) return { state: "absent" };
    const columns = this.#u32(data, "vc_data.vc_cols");
    const rows = this.#u32(data, "vc_data.vc_rows");
    const rowBytes = this.#u32(data, "vc_data.vc_size_row");
    const isShape = columns >= 1 && rows >= 1 && columns * rows <= MAX_TEXT_CELLS &&
      rowBytes >= 2 * columns &&
      rows * rowBytes <= 8 * MAX_TEXT_CELLS;
    if (!isShape) return { state: "malformed", detail: `a console of ${columns}x${rows} cells` };
    const cells = new Uint8Array(rows * rowBytes);
    const origin = this.#pointer(data, "vc_data.vc_origin");
    if (origin === undefined) return { state: "malformed", detail: "a console without an origin" };
    // QEMU's RAM goes on behind the VGA's window, and nothing that the guest writes there is in it.
    const gpa = this.#space.translate(origin);
    if (gpa >= VGA_WINDOW && gpa < VGA_WINDOW_END) return { state: "in-video-memory", console: number };
    if (this.#space.read(origin, cells) < cells.length) {
      return { state: "malformed", detail: "a console whose cells cannot be read" };
    }
    return { state: "read", text: this.#textOf(data, number, { columns, rows, rowBytes, cells }) };
  }

  #textOf(
    data: number,
    number: number,
    shape: {
      readonly columns: number;
      readonly rows: number;
      readonly rowBytes: number;
      readonly cells: Uint8Array;
    },
  ): ScreenText {
    const { columns, rows, rowBytes, cells } = shape;
    const hasMoreGlyphs = this.#u16(data, "vc_data.vc_hi_font_mask") !== 0;
    const characters = this.#charactersOf(data) ?? CODE_PAGE_437;
    const colours = this.#coloursOf(data);
    const text = new TextBuilder(columns, rows);
    for (let row = 0; row < rows; row++) {
      for (let column = 0, at = row * rowBytes; column < columns; column++, at += 2) {
        const attribute = cells[at + 1] as number;
        // A font of 512 glyphs takes a bit of the attribute, and leaves eight colours.
        const glyph = (cells[at] as number) | (hasMoreGlyphs ? (attribute & 1) << 8 : 0);
        const colour = hasMoreGlyphs ? attribute >>> 1 & 7 | (attribute & 0x80) >>> 4 : attribute & 15;
        const background = hasMoreGlyphs ? attribute >>> 4 & 7 : attribute >>> 4 & 15;
        const character = characters[glyph] ?? UNKNOWN_CHARACTER;
        text.add(character, colours[colour] as number, colours[background] as number);
      }
    }
    return text.finish("console", this.#cursorOf(data, columns, rows), number);
  }

  /** The address of a console's vc_data. */
  #dataOf(number: number): number | undefined {
    const [consoles, size] = [this.#tables.symbols.get("vc_cons"), this.#tables.offsets.get("sizeof vc")];
    const offset = this.#tables.offsets.get("vc.d");
    if (consoles === undefined || size === undefined || offset === undefined) return undefined;
    if (!(number >= 1 && number <= MAX_CONSOLES)) return undefined;
    const data = this.#space.readS64(consoles + (number - 1) * size, offset);
    if (!isKernelPointer(data)) return undefined;
    return this.#u16(data, "vc_data.vc_num") === number - 1 ? data : undefined;
  }

  #cursorOf(data: number, columns: number, rows: number): TextPlace | undefined {
    const state = this.#tables.offsets.get("vc_data.state");
    const column = state === undefined
      ? this.#u32(data, "vc_data.vc_x")
      : this.#u32(data + state, "vc_state.x");
    const row = state === undefined ? this.#u32(data, "vc_data.vc_y") : this.#u32(data + state, "vc_state.y");
    // Behind the last cell of a line the cursor stays on it until the next character.
    if (!(column <= columns && row < rows)) return undefined;
    return { column: Math.min(column, columns - 1), row };
  }

  /** The console's sixteen colours in the attribute's order. */
  #coloursOf(data: number): number[] {
    const offset = this.#tables.offsets.get("vc_data.vc_palette");
    const palette = new Uint8Array(48);
    if (offset !== undefined) this.#space.read(data + offset, palette);
    return COLOUR_ORDER.map((i) =>
      (palette[3 * i] as number) << 16 | (palette[3 * i + 1] as number) << 8 | palette[3 * i + 2] as number
    );
  }

  /** The character of each glyph, by the console's Unicode map; undefined when it has none. */
  #charactersOf(data: number): (string | undefined)[] | undefined {
    const map = this.#pointer(data, "vc_data.vc_uni_pagedict") ??
      this.#pointer(data, "vc_data.vc_uni_pagedir");
    const offset = this.#tables.offsets.get("uni_pagedict.uni_pgdir") ??
      this.#tables.offsets.get("uni_pagedir.uni_pgdir");
    if (map === undefined || offset === undefined) return undefined;
    const characters: (string | undefined)[] = [];
    const glyphs = new Uint8Array(2 * MAP_CHARACTERS);
    for (let i = 0; i < MAP_DIRECTORIES; i++) {
      const directory = this.#space.readS64(map, offset + 8 * i);
      if (!isKernelPointer(directory)) continue;
      for (let j = 0; j < MAP_PAGES; j++) {
        const page = this.#space.readS64(directory, 8 * j);
        if (!isKernelPointer(page) || this.#space.read(page, glyphs) < glyphs.length) continue;
        for (let k = 0; k < MAP_CHARACTERS; k++) {
          const glyph = (glyphs[2 * k] as number) | (glyphs[2 * k + 1] as number) << 8;
          if (glyph >= MAX_GLYPHS) continue;
          characters[glyph] = better(characters[glyph], i << 11 | j << 6 | k);
        }
      }
    }
    // The first glyph may stand for blanks alone.
    characters[0] ??= " ";
    return characters.length > 1 ? characters : undefined;
  }

  #pointer(base: number, field: ConsoleField): number | undefined {
    const offset = this.#tables.offsets.get(field);
    const value = offset === undefined ? NaN : this.#space.readS64(base, offset);
    return value < 0 && value >= -(2 ** 56) ? value : undefined;
  }

  #u32(base: number, field: ConsoleField): number {
    const offset = this.#tables.offsets.get(field);
    return offset === undefined ? NaN : this.#space.readU32(base, offset);
  }

  #u16(base: number, field: ConsoleField): number {
    const offset = this.#tables.offsets.get(field);
    return offset === undefined ? NaN : this.#space.readU16(base, offset);
  }
}

/**
 * Of several characters of one glyph: ASCII, then the one of code page 437, then the lowest. No surrogates,
 * no codes of Linux' own (0xf000 and up, which name glyphs).
 */
function better(known: string | undefined, code: number): string | undefined {
  if (code < 32 || (code >= 127 && code < 160) || (code >= 0xd800 && code < 0xf900)) return known;
  const character = String.fromCharCode(code);
  if (known === undefined) return character;
  const rank = (one: string): number => one >= " " && one <= "~" ? 0 : CODE_PAGE_437.includes(one) ? 1 : 2;
  return rank(character) < rank(known) ? character : known;
}
