/**
 * Pictures to PNG and back: read by fast-png, which this file alone knows, and written by png_writer.ts. For
 * what a person looks at, and for needles that a person cut out.
 * @module
 */
import { decode } from "fast-png";
import { Fault, messageOf } from "../base/fault.ts";
import { type Picture, pictureOf } from "./picture.ts";
import { pixelsOf } from "./png_samples.ts";
import { pngOfRows } from "./png_writer.ts";

/** A picture as a PNG file's bytes: RGB when no pixel lets anything through, else RGBA. */
export function encodePng({ width, height, rgba }: Picture): Uint8Array<ArrayBuffer> {
  const channels = isOpaque(rgba) ? 3 : 4;
  const rows = new Uint8Array((1 + channels * width) * height);
  let to = 0;
  for (let row = 0, from = 0; row < height; row++) {
    to++;
    if (channels === 4) {
      rows.set(rgba.subarray(from, from + 4 * width), to);
      to += 4 * width;
      from += 4 * width;
      continue;
    }
    for (let column = 0; column < width; column++, from += 4) {
      rows[to++] = rgba[from] as number;
      rows[to++] = rgba[from + 1] as number;
      rows[to++] = rgba[from + 2] as number;
    }
  }
  return pngOfRows(width, height, channels, rows);
}

function isOpaque(rgba: Uint8Array): boolean {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 255) return false;
  return true;
}

/**
 * A picture from a PNG file's bytes, of whatever colour type and depth.
 *
 * @param name what it is called in errors: its file
 * @throws {Fault} `bad-argument` when it is no such PNG
 */
export function decodePng(bytes: Uint8Array, name = "the picture"): Picture {
  let image: ReturnType<typeof decode>;
  try {
    image = decode(bytes);
  } catch (error) {
    // The decompressor's own words may end in a colon with nothing behind it.
    const why = messageOf(error).replace(/[\s:]+$/, "");
    throw new Fault("bad-argument", `Cannot read ${name}: it is not a PNG (${why})`, { cause: error });
  }
  const { width, height, channels, depth, data } = image;
  if (depth === 8 && (channels === 3 || channels === 4) && data instanceof Uint8Array) {
    return pictureOf(width, height, channels, data);
  }
  const pixels = pixelsOf(image);
  return pictureOf(width, height, pixels.channels, pixels.bytes);
}
