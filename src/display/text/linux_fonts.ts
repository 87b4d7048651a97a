/**
 * The fonts that a Linux kernel has built in, out of the guest's RAM: with them its pictures are read exactly
 * (glyph_reader.ts). They are not part of vmsig: Linux' fonts are under the GPL.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import type { LinuxGuest } from "../../guest/linux/linux_guest.ts";
import { GlyphFont, MAX_GLYPH_SIDE } from "./glyph_font.ts";
import { type ConsoleTables, FONT_SYMBOLS } from "./linux_kernel_tables.ts";

const GLYPHS = 256;

/** The fonts of a kernel, as many as can be read. */
export function readLinuxFonts(os: LinuxGuest, tables: ConsoleTables): GlyphFont[] {
  const fonts: GlyphFont[] = [];
  for (const name of FONT_SYMBOLS) {
    const font = readFont(os, tables, name);
    if (font !== undefined) fonts.push(font);
  }
  return fonts;
}

function readFont(os: LinuxGuest, tables: ConsoleTables, name: string): GlyphFont | undefined {
  const place = tables.symbols.get(name);
  const [width, height, data] = ["width", "height", "data"].map((field) =>
    tables.offsets.get(`font_desc.${field}`)
  );
  if (place === undefined || width === undefined || height === undefined || data === undefined) {
    return undefined;
  }
  const space = os.kernel;
  const size = { width: space.readU32(place, width), height: space.readU32(place, height), count: GLYPHS };
  if (!(size.width >= 4 && size.width <= MAX_GLYPH_SIDE && size.height <= MAX_GLYPH_SIDE)) return undefined;
  const bytes = new Uint8Array(GLYPHS * size.height * ((size.width + 7) >>> 3));
  if (space.read(space.readS64(place, data), bytes) < bytes.length) return undefined;
  try {
    return GlyphFont.fromBytes(`Linux ${name}`, size, bytes);
  } catch (error) {
    // Sizes that a kernel's font cannot have: another kernel's memory.
    if (error instanceof Fault) return undefined;
    throw error;
  }
}
