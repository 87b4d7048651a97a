/**
 * Pixels of fewer than 32 bits, made into the canvas's words as QEMU's screendump makes them (without another
 * display): of 16-bit pixels a colour is widened by its own upper bits; of 15-bit ones by zeros in QEMU 7.2,
 * and by its upper bits in QEMU 10; a palette's six bits by their lowest one.
 * @module
 */
import { assert } from "../../base/assert.ts";

/** Colours of a palette, as words 0x00RRGGBB. */
export type PaletteWords = Int32Array<ArrayBuffer>;

/** Pixels in a row to make, and where from. */
export interface RowOfPixels {
  /** The row's bytes, and more. */
  readonly bytes: Uint8Array;
  /** The row's first byte. */
  readonly at: number;
  /** Its pixels. */
  readonly width: number;
}

/** Writes one row. */
export type RowWriter = (row: RowOfPixels, to: Int32Array<ArrayBufferLike>, first: number) => void;

/** How a colour of five bits in a 15-bit pixel becomes one of eight. */
export type Widening = "zeros" | "upper-bits";

/** By itself: all ones stay all ones. */
const byUpperBits = (part: number, bits: number): number => part << 8 - bits | part >>> 2 * bits - 8;
const RGB555 = {
  zeros: sixteenBits(10, 5, (part) => part << 3),
  "upper-bits": sixteenBits(10, 5, byUpperBits),
} as const;
const RGB565 = sixteenBits(11, 6, byUpperBits);

/**
 * What a QEMU does with 15-bit pixels.
 *
 * @param version as it greets: "7.2.22"
 */
export function wideningOf(version: string): Widening {
  return parseInt(version, 10) >= 10 ? "upper-bits" : "zeros";
}

/** What writes rows of pixels of so many bits. */
export function rowWriterOf(
  bits: 8 | 15 | 16 | 24,
  palette: PaletteWords,
  widening: Widening = "zeros",
): RowWriter {
  switch (bits) {
    case 8:
      return (row, to, first) => byTable8(row, to, first, palette);
    case 15:
      return (row, to, first) => byTable16(row, to, first, RGB555[widening]);
    case 16:
      return (row, to, first) => byTable16(row, to, first, RGB565);
    case 24:
      return threeBytes;
  }
}

/**
 * Reads a VGA's palette.
 *
 * @param bytes 256 times red, green, blue
 * @param isWide eight bits a colour, not six
 * @returns whether it differs from what `to` had
 */
export function readPalette(bytes: Uint8Array, isWide: boolean, to: PaletteWords): boolean {
  assert(bytes.length === 768 && to.length === 256, "a palette has 256 colours");
  let changed = 0;
  const part = (at: number): number => isWide ? bytes[at] as number : widenSix(bytes[at] as number);
  for (let i = 0; i < 256; i++) {
    const word = part(3 * i) << 16 | part(3 * i + 1) << 8 | part(3 * i + 2);
    changed |= word ^ (to[i] as number);
    to[i] = word;
  }
  return changed !== 0;
}

function widenSix(value: number): number {
  const low = value & 1;
  return (value & 0x3f) << 2 | low << 1 | low;
}

/** The words of all 16-bit pixels: blue in the lower five bits, then green of some bits, then red. */
function sixteenBits(
  red: number,
  greenBits: number,
  widen: (part: number, bits: number) => number,
): () => Int32Array {
  let table: Int32Array | undefined;
  return () => {
    if (table !== undefined) return table;
    table = new Int32Array(65_536);
    for (let i = 0; i < table.length; i++) {
      const green = i >>> 5 & (1 << greenBits) - 1;
      table[i] = widen(i >>> red & 31, 5) << 16 | widen(green, greenBits) << 8 | widen(i & 31, 5);
    }
    return table;
  };
}

function byTable8({ bytes, at, width }: RowOfPixels, to: Int32Array, first: number, table: Int32Array): void {
  for (let i = 0; i < width; i++) to[first + i] = table[bytes[at + i] as number] as number;
}

function byTable16(
  { bytes, at, width }: RowOfPixels,
  to: Int32Array,
  first: number,
  tableOf: () => Int32Array,
): void {
  const table = tableOf();
  for (let i = 0, from = at; i < width; i++, from += 2) {
    to[first + i] = table[(bytes[from] as number) | (bytes[from + 1] as number) << 8] as number;
  }
}

function threeBytes({ bytes, at, width }: RowOfPixels, to: Int32Array, first: number): void {
  for (let i = 0, from = at; i < width; i++, from += 3) {
    to[first + i] = (bytes[from] as number) | (bytes[from + 1] as number) << 8 |
      (bytes[from + 2] as number) << 16;
  }
}
