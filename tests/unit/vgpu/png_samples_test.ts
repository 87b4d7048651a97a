/** PNGs of every colour type and depth, as needles and screenshots of others have them. */
import { assertEquals, assertThrows } from "@std/assert";
import { deflateSync } from "node:zlib";
import { Fault } from "../../../src/base/fault.ts";
import { decodePng } from "../../../src/vgpu/png.ts";
import { pixelsOf } from "../../../src/vgpu/png_samples.ts";

const TYPES = { grey: 0, rgb: 2, palette: 3, greyAlpha: 4, rgba: 6 } as const;

function crcOf(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xedb88320;
  }
  return ~crc >>> 0;
}

function chunk(name: string, data: Uint8Array | number[]): number[] {
  const body = Uint8Array.from([...new TextEncoder().encode(name), ...data]);
  const word = (value: number) => [value >>> 24, value >>> 16 & 255, value >>> 8 & 255, value & 255];
  return [...word(data.length), ...body, ...word(crcOf(body))];
}

/** A PNG whose rows are these bytes, unfiltered. */
function png(
  width: number,
  [type, depth]: readonly [keyof typeof TYPES, number],
  rows: number[][],
  palette: number[] = [],
): Uint8Array {
  const header = [0, 0, 0, width, 0, 0, 0, rows.length, depth, TYPES[type], 0, 0, 0];
  const data = deflateSync(Uint8Array.from(rows.flatMap((row) => [0, ...row])));
  return Uint8Array.from([
    ...[137, 80, 78, 71, 13, 10, 26, 10],
    ...chunk("IHDR", header),
    ...(palette.length === 0 ? [] : chunk("PLTE", palette)),
    ...chunk("IDAT", data),
    ...chunk("IEND", []),
  ]);
}

/** Red, green, blue of the first pixels. */
function coloursOf(bytes: Uint8Array): number[][] {
  const { width, height, rgba } = decodePng(bytes);
  return Array.from({ length: width * height }, (_, i) => [...rgba.subarray(4 * i, 4 * i + 3)]);
}

const grey = (...values: number[]) => values.map((value) => [value, value, value]);

Deno.test("PNG: grey of 1, 2, 4, 8 and 16 bits is spread over the whole range; rows begin with a byte", () => {
  assertEquals(coloursOf(png(3, ["grey", 1], [[0b10100000], [0b01000000]])), grey(255, 0, 255, 0, 255, 0));
  assertEquals(coloursOf(png(5, ["grey", 2], [[0b00011011, 0b11000000]])), grey(0, 85, 170, 255, 255));
  assertEquals(coloursOf(png(3, ["grey", 4], [[0x0f, 0x80]])), grey(0, 255, 136));
  assertEquals(coloursOf(png(2, ["grey", 8], [[7, 250]])), grey(7, 250));
  assertEquals(coloursOf(png(2, ["grey", 16], [[0x12, 0x34, 0xff, 0xff]])), grey(0x12, 0xff));
  const { rgba } = decodePng(png(1, ["greyAlpha", 8], [[9, 77]]));
  assertEquals([...rgba], [9, 9, 9, 77]);
});

Deno.test("PNG: colours of a palette, and of 16 bits", () => {
  const palette = [1, 2, 3, 40, 50, 60, 255, 0, 9];
  const [one, two, three] = [[1, 2, 3], [40, 50, 60], [255, 0, 9]];
  assertEquals(coloursOf(png(3, ["palette", 2], [[0b10000100]], palette)), [three, one, two]);
  assertEquals(coloursOf(png(2, ["palette", 8], [[1, 2]], palette)), [two, three]);
  assertEquals(coloursOf(png(2, ["palette", 1], [[0b01000000]], palette)), [one, two]);
  assertEquals(coloursOf(png(1, ["rgb", 16], [[1, 2, 3, 4, 5, 6]])), [[1, 3, 5]]);
  assertEquals([...decodePng(png(1, ["rgba", 8], [[1, 2, 3, 4]])).rgba], [1, 2, 3, 4]);
});

Deno.test("PNG: an index past the palette, missing samples and a picture too large are Faults", () => {
  const past = assertThrows(() => decodePng(png(1, ["palette", 8], [[3]], [1, 2, 3])), Fault);
  assertEquals([past.code, past.message], [
    "bad-argument",
    "Cannot read the picture: a pixel has colour 3 of 1",
  ]);
  const few = { width: 9, height: 2, channels: 1, depth: 1, data: [0, 0, 0] };
  assertThrows(() => pixelsOf(few), Fault, "9x2 pixels have 3 samples, not 4");
  assertThrows(() => pixelsOf({ ...few, width: 16384, height: 16384 }), Fault, "more than 67108864 pixels");
});
