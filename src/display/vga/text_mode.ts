/**
 * A VGA's text mode, out of its registers: how many cells, where they lie, the cursor, the fonts, the
 * colours; and the cells themselves out of video memory. As QEMU's VGA draws it (7.2 to 11).
 *
 * QEMU keeps the four planes of a VGA byte by byte side by side: cell N's character is byte 4 N, its
 * attribute 4 N + 1, and fonts lie in every fourth byte from 2 on.
 *
 * The registers are those that vga_state.ts finds. Without them there is only the rule of thumb that a text
 * screen has 80 columns, 25 rows and begins at 0: a guest that scrolls by moving the start (Linux' vgacon)
 * shows other lines then, and the cursor is not known.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { VgaRegisters } from "./vga_state.ts";
import type { VideoMemory } from "./video_memory.ts";

/** Cells of a text mode at most: what QEMU draws (CH_ATTR_SIZE). */
export const MAX_VGA_CELLS: number = 160 * 100;
/** Bytes of a font: 256 glyphs of 32 rows. */
export const FONT_BYTES: number = 256 * 32;

/** A text mode. */
export interface TextMode {
  /** Told apart from other modes. */
  readonly kind: "text";
  /** Cells in a row. */
  readonly columns: number;
  /** Rows. */
  readonly rows: number;
  /** Pixels of a cell: 8, 9 or 16 wide. */
  readonly cellWidth: number;
  /** And 1 to 32 high. */
  readonly cellHeight: number;
  /** The first cell's place in video memory, in cells. */
  readonly start: number;
  /** Cells from row to row there. */
  readonly lineCells: number;
  /** The first row that is taken from cell 0 again (split screen); `rows` for none. */
  readonly splitRow: number;
  /** The cursor's place in video memory in cells, and its first and last pixel row; undefined when hidden. */
  readonly cursor: { readonly cell: number; readonly first: number; readonly last: number } | undefined;
  /** Where the two fonts lie in video memory, in planes' bytes. */
  readonly fonts: readonly [number, number];
  /** Whether the ninth column of line graphics (0xb0 to 0xdf) is the eighth one again. */
  readonly joinsLines: boolean;
}

/** The first text mode of any PC, for a VGA whose registers are not known. */
export const PLAIN_TEXT: TextMode = {
  kind: "text",
  columns: 80,
  rows: 25,
  cellWidth: 9,
  cellHeight: 16,
  start: 0,
  lineCells: 80,
  splitRow: 25,
  cursor: undefined,
  fonts: [0, 0],
  joinsLines: true,
};

/** The 16 colours that a PC starts with, 0xRRGGBB. */
export const PLAIN_COLOURS: readonly number[] = [
  ...[0x000000, 0x0000aa, 0x00aa00, 0x00aaaa, 0xaa0000, 0xaa00aa, 0xaa5500, 0xaaaaaa],
  ...[0x555555, 0x5555ff, 0x55ff55, 0x55ffff, 0xff5555, 0xff55ff, 0xffff55, 0xffffff],
];

const GRAPHICS_MODE = 1;
const EIGHT_DOTS = 1;
const HALF_CLOCK = 8;
const CURSOR_OFF = 0x20;

/**
 * The text mode of a VGA without a dispi mode; undefined in a graphics mode, or for what QEMU would not draw.
 */
export function textModeOf(registers: VgaRegisters): TextMode | undefined {
  const crt = (index: number): number => registers.crt(index);
  if ((registers.graphics(6) & GRAPHICS_MODE) !== 0) return undefined;
  const clock = registers.sequencer(1);
  const cellWidth = (clock & HALF_CLOCK) !== 0 ? 16 : (clock & EIGHT_DOTS) !== 0 ? 8 : 9;
  const cellHeight = (crt(9) & 0x1f) + 1;
  const columns = crt(1) + 1;
  const lines = (crt(0x12) | (crt(7) & 0x02) << 7 | (crt(7) & 0x40) << 3) + 1;
  // The CGA's 160x100 in 16 colours, which is a text mode of rows two pixels high.
  const rows = crt(6) === 100 ? 100 : Math.floor(lines / cellHeight);
  if (columns * rows <= 1 || columns * rows > MAX_VGA_CELLS) return undefined;
  const splitLine = crt(0x18) | (crt(7) & 0x10) << 4 | (crt(9) & 0x40) << 3;
  const [first, last] = [crt(0x0a) & 0x1f, Math.min(crt(0x0b) & 0x1f, cellHeight - 1)];
  const isHidden = (crt(0x0a) & CURSOR_OFF) !== 0 || last < first || first >= cellHeight;
  const map = registers.sequencer(3);
  return {
    kind: "text",
    columns,
    rows,
    cellWidth,
    cellHeight,
    start: crt(0x0c) << 8 | crt(0x0d),
    lineCells: crt(0x13) * 2,
    splitRow: splitLine === 0 ? rows : Math.min(rows, Math.ceil(splitLine / cellHeight)),
    cursor: isHidden ? undefined : { cell: crt(0x0e) << 8 | crt(0x0f), first, last },
    fonts: [
      (map >>> 4 & 1 | map << 1 & 6) * FONT_BYTES,
      (map >>> 5 & 1 | map >>> 1 & 6) * FONT_BYTES,
    ],
    joinsLines: (registers.attribute(0x10) & 0x04) !== 0,
  };
}

/** The 16 colours of a text mode, 0xRRGGBB. */
export function textColoursOf(registers: VgaRegisters): number[] {
  const { palette } = registers;
  const isPaged = (registers.attribute(0x10) & 0x80) !== 0;
  const page = registers.attribute(0x14);
  const part = (at: number): number => {
    const value = palette[at] as number;
    return (value & 0x3f) << 2 | (value & 1) << 1 | value & 1;
  };
  return Array.from({ length: 16 }, (_, i) => {
    const colour = registers.attribute(i);
    const at = 3 * (isPaged ? (page & 0xf) << 4 | colour & 0xf : (page & 0xc) << 4 | colour & 0x3f);
    return part(at) << 16 | part(at + 1) << 8 | part(at + 2);
  });
}

/** The cell of video memory that a row begins with. */
export function rowStart(mode: TextMode, row: number): number {
  return row < mode.splitRow ? mode.start + row * mode.lineCells : (row - mode.splitRow) * mode.lineCells;
}

/** Where the cursor is on the screen; undefined when it is hidden or lies outside. */
export function cursorOf(mode: TextMode): { readonly column: number; readonly row: number } | undefined {
  if (mode.cursor === undefined) return undefined;
  for (let row = 0; row < mode.rows; row++) {
    const column = mode.cursor.cell - rowStart(mode, row);
    if (column >= 0 && column < mode.columns) return { column, row };
  }
  return undefined;
}

/** Reads the cells of a text mode; it keeps what it needs for that. */
export class CellReader {
  #row = new Uint8Array(0);

  /**
   * Reads all cells: character in the lower byte, attribute in the upper one, row after row. Cells outside
   * video memory are 0.
   *
   * @param into `columns * rows` of them
   * @returns false when QEMU has gone
   */
  read(memory: VideoMemory, mode: TextMode, into: Uint16Array): boolean {
    const { columns, rows } = mode;
    assert(into.length === columns * rows, "there is room for the cells");
    const rowBytes = 4 * columns;
    if (this.#row.length !== rowBytes) this.#row = new Uint8Array(rowBytes);
    for (let row = 0; row < rows; row++) {
      const at = 4 * rowStart(mode, row);
      const fits = at + rowBytes <= memory.sizeBytes;
      if (!fits) this.#row.fill(0);
      else if (!memory.read(at, this.#row)) return false;
      for (let i = 0, to = row * columns; i < rowBytes; i += 4, to++) {
        into[to] = (this.#row[i] as number) | (this.#row[i + 1] as number) << 8;
      }
    }
    return true;
  }
}

/**
 * Reads a font out of video memory.
 *
 * @param at one of {@linkcode TextMode.fonts}
 * @param into {@linkcode FONT_BYTES}: 32 rows a glyph
 * @returns false when QEMU has gone
 */
export function readVgaFont(memory: VideoMemory, at: number, into: Uint8Array): boolean {
  assert(into.length === FONT_BYTES, "a font has its size");
  const bytes = new Uint8Array(4 * FONT_BYTES);
  if (4 * at + bytes.length > memory.sizeBytes) into.fill(0);
  else if (!memory.read(4 * at, bytes)) return false;
  else for (let i = 0; i < into.length; i++) into[i] = bytes[4 * i + 2] as number;
  return true;
}
