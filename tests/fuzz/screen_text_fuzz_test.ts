/**
 * Text screens from outside: their CBOR; the registers and cells of a VGA that its guest fills as it likes; a
 * picture of a guest's; the structures of a Linux console in a guest's RAM.
 */
import { assert } from "@std/assert";
import { vgaFonts } from "../../src/display/text/glyph_font.ts";
import { GlyphReader } from "../../src/display/text/glyph_reader.ts";
import { LinuxConsoles } from "../../src/display/text/linux_console.ts";
import type { ConsoleTables } from "../../src/display/text/linux_kernel_tables.ts";
import {
  decodeScreenText,
  encodeScreenText,
  MAX_TEXT_CELLS,
  type ScreenText,
  TextBuilder,
} from "../../src/display/text/screen_text.ts";
import {
  cursorOf,
  MAX_VGA_CELLS,
  rowStart,
  textColoursOf,
  textModeOf,
} from "../../src/display/vga/text_mode.ts";
import { VgaRegisters } from "../../src/display/vga/vga_state.ts";
import type { AddressSpace } from "../../src/guest/address_space.ts";
import type { LinuxGuest } from "../../src/guest/linux/linux_guest.ts";
import { TextDrawing } from "../fixtures/text_picture.ts";
import { type Bytes, fuzz } from "./harness.ts";

function holds(text: ScreenText): void {
  const { columns, rows, lines, styles, runs, unknown, cursor } = text;
  assert(columns >= 1 && rows >= 1 && columns * rows <= MAX_TEXT_CELLS && lines.length === rows);
  for (const line of lines) assert([...line].length <= columns, "a line fits its screen");
  assert(unknown >= 0 && unknown <= columns * rows);
  assert(cursor === undefined || (cursor.column < columns && cursor.row < rows));
  let covered = 0;
  for (let i = 0; i < runs.length; i += 2) {
    covered += runs[i] as number;
    assert(styles[runs[i + 1] as number] !== undefined, "a run has a style");
  }
  assert(covered === 0 || covered === columns * rows, "runs cover the screen");
}

function sample(columns: number, rows: number): ScreenText {
  const text = new TextBuilder(columns, rows);
  for (let i = 0; i < columns * rows; i++) text.add("a☺ \ufffd"[i % 4] as string, i % 3, 0xffffff);
  return text.finish("vga", { column: 0, row: 0 }, 1);
}

fuzz({
  name: "SCREEN_TEXT's body",
  corpus:
    () => [encodeScreenText(sample(3, 2)), encodeScreenText(sample(1, 1)), encodeScreenText(sample(20, 4))],
  largest: 65_536,
  openers: [[0x81], [0xa1, 0x60], [0x9f]],
  words: ["source", "columns", "rows", "lines", "runs", "styles", "cursor", [0x1a, 0xff, 0xff, 0xff, 0xff], [
    0xf9,
  ]],
  decode: (input) => {
    holds(decodeScreenText(input));
    return "text";
  },
  mustMeet: ["text", "fault:protocol-error"],
});

/** The block of QEMU's heap from the pointer to the dispi registers, of a VGA in 80x25. */
function block(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(2598);
  const crt = 2578 - 1197;
  const timing = [0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0, 0x4f, 0x0d, 0x0e, 0, 0, 0, 160];
  bytes.set([...timing, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff], crt);
  bytes[2578] = 0xc5;
  bytes[2579] = 0xb0;
  return bytes;
}

fuzz({
  name: "a VGA's registers as text mode",
  corpus: () => [block()],
  largest: 2598,
  decode: (input) => {
    const bytes = new Uint8Array(2598);
    bytes.set(input.subarray(0, 2598));
    const registers = new VgaRegisters(bytes);
    const mode = textModeOf(registers);
    for (const colour of textColoursOf(registers)) assert(colour >= 0 && colour <= 0xff_ffff);
    if (mode === undefined) return registers.hasCrt ? "graphics" : "no registers";
    const { columns, rows, cellHeight, cellWidth, fonts } = mode;
    assert(columns * rows <= MAX_VGA_CELLS && columns >= 1 && rows >= 1);
    assert(cellHeight >= 1 && cellHeight <= 32 && [8, 9, 16].includes(cellWidth));
    for (const font of fonts) assert(font >= 0 && font < 65_536);
    for (let row = 0; row < rows; row++) assert(rowStart(mode, row) >= 0);
    const cursor = cursorOf(mode);
    assert(cursor === undefined || (cursor.column < columns && cursor.row < rows));
    return cursor === undefined ? "no cursor" : "text";
  },
  mustMeet: ["text", "no cursor", "graphics"],
});

const READER = new GlyphReader(vgaFonts());
const [FONT] = vgaFonts();

/** A small picture: its size, then a byte a pixel. */
function picture(): Uint8Array<ArrayBuffer> {
  const drawing = new TextDrawing({ width: 96, height: 48, font: FONT!, foreground: 7 });
  drawing.text(0, 0, "fuzzed text");
  drawing.text(0, 1, "another one");
  drawing.cursor(3, 2, 13, 15, 7);
  const bytes = new Uint8Array(2 + 96 * 48);
  bytes.set([96, 48]);
  for (let y = 0; y < 48; y++) {
    for (let x = 0; x < 96; x++) bytes[2 + y * 96 + x] = drawing.words[y * drawing.strideWords + x]! & 0xff;
  }
  return bytes;
}

fuzz({
  name: "pictures of text",
  corpus: () => [picture()],
  largest: 2 + 96 * 48,
  decode: (input) => {
    const width = Math.max(1, (input[0] ?? 1) % 128);
    const height = Math.max(1, (input[1] ?? 1) % 64);
    const words = new Int32Array(width * height);
    for (let i = 0; i < words.length; i++) words[i] = input[2 + i] ?? 0;
    const text = READER.read({ width, height, strideWords: width, words, isRgb: false });
    if (text === undefined) return "no text";
    holds(text);
    return text.unknown > 0 ? "unknown cells" : "text";
  },
  mustMeet: ["no text", "text", "unknown cells"],
  share: 200,
});

/** Kernel memory that is one short block of bytes, repeated nowhere. */
class KernelBytes {
  readonly #bytes: DataView;

  constructor(bytes: Bytes) {
    this.#bytes = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #at(address: number, offset: number, size: number): number {
    const at = address - BASE + offset;
    return at >= 0 && at + size <= this.#bytes.byteLength ? at : -1;
  }

  readS64(address: number, offset = 0): number {
    const at = this.#at(address, offset, 8);
    return at < 0 ? NaN : Number(this.#bytes.getBigInt64(at, true));
  }

  readU32(address: number, offset = 0): number {
    const at = this.#at(address, offset, 4);
    return at < 0 ? NaN : this.#bytes.getUint32(at, true);
  }

  readS32(address: number, offset = 0): number {
    return this.readU32(address, offset) | 0;
  }

  readU16(address: number, offset = 0): number {
    const at = this.#at(address, offset, 2);
    return at < 0 ? NaN : this.#bytes.getUint16(at, true);
  }

  translate(address: number): number {
    return this.#at(address, 0, 1) < 0 ? -1 : address - BASE + (this.readU16(address) & 0xf_0000);
  }

  read(address: number, into: Uint8Array): number {
    const at = Math.max(0, this.#at(address, 0, 1));
    const length = Math.min(into.length, this.#bytes.byteLength - at);
    if (this.#at(address, 0, 1) < 0) return 0;
    into.set(new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + at, length));
    return length;
  }
}

const BASE = -(2 ** 40);
const OFFSETS: readonly (readonly [string, number])[] = [
  ["sizeof vc", 16],
  ["vc.d", 0],
  ["vc_data.vc_num", 0],
  ["vc_data.vc_cols", 4],
  ["vc_data.vc_rows", 8],
  ["vc_data.vc_size_row", 12],
  ["vc_data.vc_origin", 16],
  ["vc_data.state", 24],
  ["vc_state.x", 0],
  ["vc_state.y", 4],
  ["vc_data.vc_hi_font_mask", 32],
  ["vc_data.vc_palette", 40],
  ["vc_data.vc_uni_pagedict", 88],
  ["uni_pagedict.uni_pgdir", 0],
];
const TABLES: ConsoleTables = {
  symbols: new Map([["vc_cons", BASE], ["fg_console", BASE + 8]]),
  offsets: new Map(OFFSETS),
};

/** One console of 10x4 at byte 32, its cells at 512, its map at 1024. */
function kernel(hasMap: boolean): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(2048);
  const view = new DataView(bytes.buffer);
  const pointer = (at: number, to: number) => view.setBigInt64(at, BigInt(BASE + to), true);
  pointer(0, 32);
  view.setUint32(32 + 4, 10, true);
  view.setUint32(32 + 8, 4, true);
  view.setUint32(32 + 12, 20, true);
  pointer(32 + 16, 512);
  view.setUint32(32 + 24, 3, true);
  for (let i = 0; i < 40; i++) view.setUint16(512 + 2 * i, 0x0741 + i, true);
  if (!hasMap) return bytes;
  pointer(32 + 88, 1024);
  pointer(1024, 1280);
  pointer(1280 + 8, 1536);
  for (let i = 0; i < 64; i++) view.setUint16(1536 + 2 * i, i, true);
  return bytes;
}

fuzz({
  name: "a Linux console's structures",
  corpus: () => [kernel(false), kernel(true)],
  largest: 8192,
  words: [[0xff, 0xff, 0xff, 0xff], [0, 0, 0, 0], [0x00, 0xff, 0xff, 0xff, 0xff, 0xff]],
  decode: (input) => {
    const os = { kernel: new KernelBytes(input) as unknown as AddressSpace } as LinuxGuest;
    const consoles = new LinuxConsoles(os, TABLES);
    const result = consoles.read(consoles.foreground);
    if (result.state === "read") holds(result.text);
    return result.state;
  },
  mustMeet: ["read", "absent", "malformed"],
});
