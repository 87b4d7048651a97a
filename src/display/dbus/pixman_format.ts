/**
 * Pixman's formats that QEMU's surfaces have, turned into a canvas's own: blue, green, red, unused.
 * @module
 */
import { assert } from "../../base/assert.ts";

/** Turns a row of pixels into a row of a canvas. */
export type RowConverter = (
  row: Uint8Array<ArrayBuffer>,
  pixels: number,
  into: Uint8Array<ArrayBufferLike>,
  at: number,
) => void;

/** A format. */
export interface PixelFormat {
  /** Bytes of a pixel. */
  readonly bytes: number;
  /** Turns a row; undefined where a row is a canvas's already. */
  readonly convert?: RowConverter;
}

const FORMATS: ReadonlyMap<number, PixelFormat> = new Map([
  // x8r8g8b8 and a8r8g8b8
  [0x2002_0888, { bytes: 4 }],
  [0x2002_8888, { bytes: 4 }],
  // x8b8g8r8 and a8b8g8r8
  [0x2003_0888, { bytes: 4, convert: bytewise(4, 2, 1, 0) }],
  [0x2003_8888, { bytes: 4, convert: bytewise(4, 2, 1, 0) }],
  // b8g8r8x8 and b8g8r8a8
  [0x2008_0888, { bytes: 4, convert: bytewise(4, 3, 2, 1) }],
  [0x2008_8888, { bytes: 4, convert: bytewise(4, 3, 2, 1) }],
  // r8g8b8 and b8g8r8
  [0x1802_0888, { bytes: 3, convert: bytewise(3, 0, 1, 2) }],
  [0x1803_0888, { bytes: 3, convert: bytewise(3, 2, 1, 0) }],
  // r5g6b5, x1r5g5b5, a1r5g5b5
  [0x1002_0565, { bytes: 2, convert: from565 }],
  [0x1002_0555, { bytes: 2, convert: from555 }],
  [0x1002_1555, { bytes: 2, convert: from555 }],
]);

/** A format by its number; undefined when it is not known here. */
export function pixmanFormat(code: number): PixelFormat | undefined {
  return FORMATS.get(code);
}

/** Colours that are bytes of their own, at these places of a pixel. */
function bytewise(bytes: number, blue: number, green: number, red: number): RowConverter {
  return (row, pixels, into, at) => {
    checkRow(row, pixels * bytes, into, at + 4 * pixels);
    for (let i = 0, from = 0, to = at; i < pixels; i++, from += bytes, to += 4) {
      into[to] = row[from + blue] as number;
      into[to + 1] = row[from + green] as number;
      into[to + 2] = row[from + red] as number;
      into[to + 3] = 0;
    }
  };
}

function from565(
  row: Uint8Array<ArrayBuffer>,
  pixels: number,
  into: Uint8Array<ArrayBufferLike>,
  at: number,
): void {
  checkRow(row, pixels * 2, into, at + 4 * pixels);
  for (let i = 0, to = at; i < pixels; i++, to += 4) {
    const value = (row[2 * i] as number) | (row[2 * i + 1] as number) << 8;
    const green = value >> 5 & 63;
    into[to] = five(value & 31);
    into[to + 1] = green << 2 | green >> 4;
    into[to + 2] = five(value >> 11);
    into[to + 3] = 0;
  }
}

function from555(
  row: Uint8Array<ArrayBuffer>,
  pixels: number,
  into: Uint8Array<ArrayBufferLike>,
  at: number,
): void {
  checkRow(row, pixels * 2, into, at + 4 * pixels);
  for (let i = 0, to = at; i < pixels; i++, to += 4) {
    const value = (row[2 * i] as number) | (row[2 * i + 1] as number) << 8;
    into[to] = five(value & 31);
    into[to + 1] = five(value >> 5 & 31);
    into[to + 2] = five(value >> 10 & 31);
    into[to + 3] = 0;
  }
}

/** Five bits of a colour as eight: all ones stay all ones. */
function five(value: number): number {
  return value << 3 | value >> 2;
}

function checkRow(row: Uint8Array, needs: number, into: Uint8Array<ArrayBufferLike>, end: number): void {
  assert(needs <= row.length && end <= into.length, "a row and its place are large enough");
}
