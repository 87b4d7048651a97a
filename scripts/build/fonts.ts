/**
 * Makes src/display/text/vga_fonts.ts: the three fonts of a VGA's ROM, out of SeaBIOS' VGA firmware (Debian's
 * package seabios). The fonts in it are in the public domain: its source (vgafonts in vgasrc) says that they
 * come from Joseph Gil's collection fntcol16.zip, "the individual fonts are public domain".
 *
 *   deno run -A scripts/build/fonts.ts [/usr/share/seabios/vgabios-stdvga.bin]
 *
 * Linux' built-in fonts differ from these in 42 glyphs and are under the GPL: they are not copied, but read
 * out of the guest that draws with them (src/display/text/linux_fonts.ts).
 * @module
 */
const [path = "/usr/share/seabios/vgabios-stdvga.bin"] = Deno.args;
const TARGET = new URL("../../src/display/text/vga_fonts.ts", import.meta.url);

/** The letter A of each, and its rows: found once, it tells where the font begins. */
const LETTERS: readonly { readonly rows: number; readonly bits: readonly number[] }[] = [
  { rows: 8, bits: [0x30, 0x78, 0xcc, 0xcc, 0xfc, 0xcc, 0xcc, 0x00] },
  { rows: 14, bits: [0, 0, 0x10, 0x38, 0x6c, 0xc6, 0xc6, 0xfe, 0xc6, 0xc6, 0xc6, 0, 0, 0] },
  { rows: 16, bits: [0, 0, 0x10, 0x38, 0x6c, 0xc6, 0xc6, 0xfe, 0xc6, 0xc6, 0xc6, 0xc6, 0, 0, 0, 0] },
];

const rom = Deno.readFileSync(path);
const parts = LETTERS.map(({ rows, bits }) => {
  const places: number[] = [];
  for (let at = 65 * rows; at + 191 * rows <= rom.length; at++) {
    if (bits.every((value, i) => rom[at + i] === value)) places.push(at - 65 * rows);
  }
  if (places.length !== 1) throw new Error(`${path}: ${places.length} fonts of ${rows} rows`);
  const [at = 0] = places;
  const text = btoa(String.fromCharCode(...rom.subarray(at, at + 256 * rows)));
  const lines = text.match(/.{1,100}/g) ?? [];
  return `/** 8x${rows}. */\nexport const VGA_8X${rows}: string =\n  "${lines.join('" +\n  "')}";\n`;
});
Deno.writeTextFileSync(
  TARGET,
  `/**
 * The fonts of a VGA's ROM as base64: 256 glyphs in the order of code page 437, a byte a row, the leftmost
 * pixel in bit 7. Made by scripts/build/fonts.ts; the fonts are in the public domain, as is said there.
 * @module
 */
${parts.join("\n")}`,
);
