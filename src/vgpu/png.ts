/**
 * Pictures to PNG and back, by fast-png: the one place that knows it. For what a person looks at, and for
 * needles that a person cut out.
 * @module
 */
import { decode, encode } from "fast-png";
import { Fault, messageOf } from "../base/fault.ts";
import { type Picture, pictureOf } from "./picture.ts";

/** A picture as a PNG file's bytes. */
export function encodePng(picture: Picture): Uint8Array {
  return encode({ width: picture.width, height: picture.height, data: picture.rgba, channels: 4, depth: 8 });
}

/**
 * A picture from a PNG file's bytes: RGB or RGBA of eight bits.
 *
 * @throws {Fault} `bad-argument` when it is no such PNG
 */
export function decodePng(bytes: Uint8Array): Picture {
  let image: ReturnType<typeof decode>;
  try {
    image = decode(bytes);
  } catch (error) {
    throw new Fault("bad-argument", `Cannot read the picture: it is not a PNG (${messageOf(error)})`, {
      cause: error,
    });
  }
  const { width, height, channels, depth, data } = image;
  if (depth !== 8 || (channels !== 3 && channels !== 4) || !(data instanceof Uint8Array)) {
    throw new Fault(
      "not-supported",
      `Cannot read a PNG of ${channels} channels with ${depth} bits: save it as RGB or RGBA with 8 bits`,
    );
  }
  return pictureOf(width, height, channels, data);
}
