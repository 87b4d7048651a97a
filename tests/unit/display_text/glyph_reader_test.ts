/**
 * Pictures of text screens, read back: fonts, cells, places, colours, cursors, and pictures of other things.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { CODE_PAGE_437 } from "../../../src/display/text/code_page_437.ts";
import { GlyphFont, vgaFonts } from "../../../src/display/text/glyph_font.ts";
import { GlyphReader } from "../../../src/display/text/glyph_reader.ts";
import { UNKNOWN_CHARACTER } from "../../../src/display/text/screen_text.ts";
import { SeededRandom } from "../../fixtures/seeded_random.ts";
import { TextDrawing } from "../../fixtures/text_picture.ts";

function randomLines(random: SeededRandom, columns: number, rows: number): string[] {
  return Array.from({ length: rows }, () => {
    const codes = Array.from({ length: random.below(columns + 1) }, () => 32 + random.below(95));
    return String.fromCharCode(...codes).trimEnd();
  });
}

Deno.test("glyph reader: random screens in each font, at each place, are read back exactly", () => {
  const random = new SeededRandom(0xf0e7);
  for (const font of vgaFonts()) {
    for (const cellWidth of [8, 9]) {
      for (const [x, y] of [[0, 0], [3, 5], [7, font.height - 1]] as const) {
        const [columns, rows] = [61, 20];
        const [width, height] = [x + columns * cellWidth + 2, y + rows * font.height + 3];
        const drawing = new TextDrawing({ width, height, font, cellWidth, x, y });
        const lines = randomLines(random, columns, rows);
        lines.forEach((line, row) => drawing.text(0, row, line));
        const text = new GlyphReader(vgaFonts()).read(drawing);
        const what = `${font.name} in cells of ${cellWidth} at ${x}, ${y}`;
        assertEquals(text?.lines, lines, what);
        assertEquals([text?.columns, text?.rows, text?.unknown], [columns, rows, 0], what);
      }
    }
  }
});

Deno.test("glyph reader: all glyphs, a character each, those that look alike as ASCII", () => {
  for (const font of vgaFonts()) {
    const drawing = new TextDrawing({ width: 40 * 8, height: 9 * font.height, font });
    for (let i = 0; i < 256; i++) drawing.glyph(i % 32, Math.floor(i / 32), i);
    const text = new GlyphReader([font]).read(drawing);
    const drawn = Array.from(
      { length: 256 },
      (_, i) => [...text!.lines[Math.floor(i / 32)]!.padEnd(32)][i % 32],
    );
    for (let i = 32; i < 127; i++) assertEquals(drawn[i], String.fromCharCode(i), font.name);
    for (let i = 0; i < 256; i++) {
      const isKnown = drawn[i] === CODE_PAGE_437[i] ||
        drawn.indexOf(drawn[i]) !== i || font.find !== undefined;
      assert(isKnown);
      if (drawn[i] === CODE_PAGE_437[i]) continue;
      // Told as another one with exactly the same pixels, or as inverse of one (a full block is a blank).
      const other = CODE_PAGE_437.indexOf(drawn[i]!);
      const rows = (glyph: number) => [...font.rows.subarray(glyph * font.height, (glyph + 1) * font.height)];
      const isAlike = rows(other).every((row, y) => row === rows(i)[y]) ||
        rows(other).every((row, y) => row === (~rows(i)[y]! & 0xff));
      assert(isAlike, `${font.name} ${i} as ${drawn[i]}`);
    }
  }
});

Deno.test("glyph reader: colours, inverse cells, a cursor that covers and one that inverts", () => {
  const [font] = vgaFonts();
  const drawing = new TextDrawing({ width: 640, height: 400, font: font!, background: 0x000080 });
  drawing.text(2, 1, "plain text here", 0xaaaaaa, 0x000080);
  drawing.text(2, 2, "inverse", 0x000080, 0xaaaaaa);
  drawing.text(20, 2, "red on green", 0xff0000, 0x00ff00);
  drawing.text(0, 5, "covered gypq_", 0xaaaaaa, 0x000080);
  drawing.cursor(8, 5, 13, 15, 0xaaaaaa);
  const reader = new GlyphReader(vgaFonts());
  const text = reader.read(drawing);
  assertEquals(text?.lines.slice(0, 6), [
    "",
    "  plain text here",
    "  inverse           red on green",
    "",
    "",
    `covered ${UNKNOWN_CHARACTER}ypq_`,
  ]);
  assertEquals(text?.unknown, 1, "g and q are the same above the cursor");
  assertEquals(text?.cursor, { column: 8, row: 5 });
  const styleAt = (column: number, row: number) => {
    let left = row * text!.columns + column;
    for (let i = 0; i < text!.runs.length; i += 2) {
      left -= text!.runs[i]!;
      if (left < 0) return text!.styles[text!.runs[i + 1]!];
    }
    return undefined;
  };
  assertEquals(styleAt(2, 1), { foreground: 0xaaaaaa, background: 0x000080 });
  assertEquals(styleAt(2, 2), { foreground: 0x000080, background: 0xaaaaaa });
  assertEquals(styleAt(20, 2), { foreground: 0xff0000, background: 0x00ff00 });
  const covered = new TextDrawing({ width: 640, height: 400, font: font! });
  covered.text(0, 0, "covered A");
  covered.cursor(8, 0, 13, 15, 0xaaaaaa);
  assertEquals(reader.read(covered)?.lines[0], "covered A");
  const other = new TextDrawing({ width: 640, height: 400, font: font! });
  other.text(0, 0, "login: g");
  other.cursor(7, 0, 14, 16, "invert");
  const under = reader.read(other);
  assertEquals([under?.lines[0], under?.cursor, under?.unknown], ["login: g", { column: 7, row: 0 }, 0]);
  const blank = new TextDrawing({ width: 640, height: 400, font: font! });
  blank.text(0, 0, "login:");
  blank.cursor(7, 0, 14, 16, 0xaaaaaa);
  const behind = reader.read(blank);
  assertEquals([behind?.lines[0], behind?.cursor], ["login:", { column: 7, row: 0 }]);
});

Deno.test("glyph reader: bytes in the other order have the same text and the same colours", () => {
  const [font] = vgaFonts();
  const drawing = new TextDrawing({ width: 640, height: 400, font: font! });
  drawing.text(0, 0, "colours", 0x123456, 0);
  const text = new GlyphReader(vgaFonts()).read({ ...frameOf(drawing), isRgb: true });
  assertEquals(text?.lines[0], "colours");
  assertEquals(text?.styles[0], { foreground: 0x563412, background: 0 });
});

function frameOf({ width, height, strideWords, words }: TextDrawing) {
  return { width, height, strideWords, words, isRgb: false };
}

Deno.test("glyph reader: what is no glyph is told and counted; a picture without text is none", () => {
  const [font] = vgaFonts();
  const drawing = new TextDrawing({ width: 640, height: 400, font: font! });
  drawing.text(0, 0, "some text that can be read, and an arrow over it");
  for (let i = 0; i < 12; i++) drawing.words[(3 + i) * drawing.strideWords + 83 + i] = 0x00ff_00ff;
  const text = new GlyphReader(vgaFonts()).read(drawing);
  assertEquals(text?.lines[0]?.startsWith("some text"), true);
  assert(text!.unknown >= 1 && text!.lines[0]!.includes(UNKNOWN_CHARACTER));

  const random = new SeededRandom(7);
  const noise = new TextDrawing({ width: 640, height: 400, font: font! });
  for (let i = 0; i < noise.words.length; i++) noise.words[i] = random.u32() | 0;
  const reader = new GlyphReader(vgaFonts());
  assertEquals(reader.read(noise), undefined);
  assertEquals(reader.read(new TextDrawing({ width: 640, height: 400, font: font! })), undefined, "blank");
  for (let i = 0; i < noise.words.length; i++) noise.words[i] = random.oneIn(2) ? 0 : 0xffffff;
  assertEquals(reader.read(noise), undefined, "two colours");
  const lines = new TextDrawing({ width: 640, height: 400, font: font! });
  for (let i = 0; i < 400; i++) lines.words[i * lines.strideWords + i] = 0xffffff;
  assertEquals(reader.read(lines), undefined, "a line");
  for (const [width, height] of [[1, 1], [7, 15], [8, 15]] as const) {
    const tiny = new TextDrawing({ width, height, font: font! });
    tiny.words[0] = 0xffffff;
    assertEquals(reader.read(tiny), undefined, `${width}x${height}`);
  }
});

Deno.test("glyph font: learnt fonts of other sizes; sizes that cannot be are refused", () => {
  const random = new SeededRandom(3);
  for (const [width, height] of [[16, 32], [12, 22], [6, 11], [32, 32]] as const) {
    const bytes = new Uint8Array(256 * height * ((width + 7) >> 3));
    for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256);
    bytes.fill(0, 32 * height * ((width + 7) >> 3), 33 * height * ((width + 7) >> 3));
    const font = GlyphFont.fromBytes("learnt", { width, height, count: 256 }, bytes);
    const drawing = new TextDrawing({ width: 40 * width, height: 10 * height, font });
    const lines = randomLines(random, 40, 10);
    lines.forEach((line, row) => drawing.text(0, row, line));
    assertEquals(new GlyphReader([font, ...vgaFonts()]).read(drawing)?.lines, lines, `${width}x${height}`);
  }
  for (
    const [width, height, count] of [[3, 8, 256], [33, 8, 256], [8, 0, 256], [8, 16, 257], [
      NaN,
      8,
      1,
    ]] as const
  ) {
    assertThrows(
      () => GlyphFont.fromBytes("wrong", { width, height, count }, new Uint8Array(65_536)),
      Fault,
      "Cannot use a font",
    );
  }
  assertThrows(
    () => GlyphFont.fromBytes("short", { width: 8, height: 16, count: 256 }, new Uint8Array(9)),
    Fault,
  );
});
