/**
 * Rows of samples as a PNG file (RFC 2083): the packing is zlib's, and what is left is three chunks. For a
 * screen of 1024x640 that takes some 8 ms, where the library that reads PNGs here takes 120 to 220 ms to
 * write one, as its compression is written in JavaScript.
 * @module
 */
import { Buffer } from "node:buffer";
import { crc32, deflateSync } from "node:zlib";
import { assert } from "../base/assert.ts";

/** What a PNG file begins with. */
export const PNG_SIGNATURE: Uint8Array = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** zlib's level: what is higher costs several times as much, and saves little on screens. */
const LEVEL = 3;
/** PNG's colour types of three and of four samples a pixel, each of eight bits. */
const COLOUR_TYPE = { 3: 2, 4: 6 } as const;

/**
 * Writes a PNG file.
 *
 * @param channels samples of eight bits per pixel: RGB or RGBA
 * @param rows each row is a byte 0 (no filter) and `width * channels` bytes
 */
export function pngOfRows(
  width: number,
  height: number,
  channels: 3 | 4,
  rows: Uint8Array,
): Uint8Array<ArrayBuffer> {
  assert(width > 0 && height > 0, "a PNG has a pixel");
  assert(rows.length === (1 + channels * width) * height, "each row has its filter's byte");
  const packed = deflateSync(rows, { level: LEVEL });
  const parts = [
    pngHeader(width, height, channels),
    pngChunk("IDAT", packed),
    pngChunk("IEND", new Uint8Array(0)),
  ];
  return new Uint8Array(Buffer.concat([PNG_SIGNATURE, ...parts]));
}

/** The type of a picture whose pixels are indexes of a palette (the chunk PLTE). */
const INDEXED = 3;

/** What a pixel is. */
export type PngPixel =
  /** Samples of eight bits: RGB or RGBA. */
  | 3
  | 4
  /** An index of a palette. */
  | { readonly indexBits: 4 | 8 };

/** The first chunk. */
export function pngHeader(width: number, height: number, pixel: PngPixel): Uint8Array {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  const [bits, type] = typeof pixel === "number" ? [8, COLOUR_TYPE[pixel]] : [pixel.indexBits, INDEXED];
  header.set([bits, type, 0, 0, 0], 8);
  return pngChunk("IHDR", header);
}

/** A chunk. @param name its four letters */
export function pngChunk(name: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}
