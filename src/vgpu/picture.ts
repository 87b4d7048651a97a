/**
 * A frame as a picture: RGBA, eight bits each, tight, opaque (a screen has nothing behind it, and what a
 * desktop leaves in the fourth byte means nothing). With what automation asks of a picture: a part of it, one
 * pixel of it.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { MAX_PICTURE_SIDE } from "../base/limits.ts";
import { bytesPerPixel, frameBytes, PIXEL_FORMAT } from "./pixel_format.ts";

/** A picture in RGBA. */
export interface Picture {
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Four bytes a pixel: red, green, blue, alpha. */
  readonly rgba: Uint8Array<ArrayBuffer>;
}

/** A part of a picture, in pixels. */
export interface Rectangle {
  /** Left edge. */
  readonly x: number;
  /** Top edge. */
  readonly y: number;
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

/** What {@linkcode toPicture} needs to know of a frame. */
export interface FrameShape {
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Bytes from row to row. */
  readonly stride: number;
  /** One of PIXEL_FORMAT. */
  readonly format: number;
}

const OPAQUE = 0xff00_0000 | 0;

/**
 * Converts a sampled frame.
 *
 * @param bytes the frame's bytes, as {@linkcode VgpuRegion.sampleFrame} copied them
 * @param shape the descriptor that came with them
 * @throws {Fault} `not-supported` for a format that does not exist, `bad-argument` for sizes that contradict
 *   the bytes
 */
export function toPicture(bytes: Uint8Array, shape: FrameShape): Picture {
  const { width, height, format } = shape;
  // Before anything is allocated: a recording may say any size.
  checkShape(bytes.length, shape);
  const rgba = new Uint8Array(width * height * 4);
  const out = new Int32Array(rgba.buffer);
  switch (format) {
    case PIXEL_FORMAT.bgra8888:
    case PIXEL_FORMAT.bgrx8888:
      fromBgr(bytes, shape, out);
      break;
    case PIXEL_FORMAT.rgba8888:
      fromRgb(bytes, shape, out);
      break;
    case PIXEL_FORMAT.rgb565:
      fromRgb565(bytes, shape, out);
      break;
    case PIXEL_FORMAT.nv12:
      fromNv12(bytes, shape, out);
      break;
  }
  return { width, height, rgba };
}

function checkShape(length: number, { width, height, stride, format }: FrameShape): void {
  const pixel = bytesPerPixel(format);
  if (pixel === 0) {
    throw new Fault("not-supported", `Cannot convert a frame of pixel format ${format}: no such format`);
  }
  const whole = frameBytes(format, width, height, stride);
  // What fills a row up to its stride may be missing behind the last one.
  const needed = format === PIXEL_FORMAT.nv12 ? whole : whole - stride + width * pixel;
  if (whole === 0 || needed > length) {
    throw new Fault(
      "bad-argument",
      `Cannot convert a frame: ${length} bytes are not ${width}x${height} pixels of format ${format}`,
    );
  }
}

/** A part of a picture; what lies outside is cut off, and nothing left is a Fault. */
export function crop(picture: Picture, part: Rectangle): Picture {
  const left = Math.max(0, part.x);
  const top = Math.max(0, part.y);
  const width = Math.min(picture.width, part.x + part.width) - left;
  const height = Math.min(picture.height, part.y + part.height) - top;
  if (!(width > 0 && height > 0 && Number.isInteger(left + top + width + height))) {
    throw new Fault(
      "bad-argument",
      `Cannot cut ${part.width}x${part.height} at ${part.x},${part.y} out of ${picture.width}x${picture.height} pixels: nothing is there`,
    );
  }
  const rgba = new Uint8Array(width * height * 4);
  for (let row = 0; row < height; row++) {
    const from = ((top + row) * picture.width + left) * 4;
    rgba.set(picture.rgba.subarray(from, from + width * 4), row * width * 4);
  }
  return { width, height, rgba };
}

/** One pixel as 0xRRGGBB; undefined outside the picture. */
export function pixelAt(picture: Picture, x: number, y: number): number | undefined {
  if (
    !Number.isInteger(x) || !Number.isInteger(y) || x < 0 || y < 0 || x >= picture.width ||
    y >= picture.height
  ) {
    return undefined;
  }
  const at = (y * picture.width + x) * 4;
  const { rgba } = picture;
  return (rgba[at] as number) << 16 | (rgba[at + 1] as number) << 8 | (rgba[at + 2] as number);
}

/** A picture from bytes that a caller has (a decoded PNG): RGBA or RGB, eight bits each. */
export function pictureOf(width: number, height: number, channels: 3 | 4, bytes: Uint8Array): Picture {
  if (!(width >= 1 && height >= 1 && width <= MAX_PICTURE_SIDE && height <= MAX_PICTURE_SIDE)) {
    throw new Fault(
      "bad-argument",
      `Cannot take a picture of ${width}x${height} pixels: at most ${MAX_PICTURE_SIDE} each way`,
    );
  }
  if (bytes.length !== width * height * channels) {
    throw new Fault(
      "bad-argument",
      `Cannot take a picture of ${width}x${height}: it has ${bytes.length} bytes, not ${
        width * height * channels
      }`,
    );
  }
  if (channels === 4) return { width, height, rgba: new Uint8Array(bytes) };
  const rgba = new Uint8Array(width * height * 4);
  for (let from = 0, to = 0; from < bytes.length; from += 3, to += 4) {
    rgba[to] = bytes[from] as number;
    rgba[to + 1] = bytes[from + 1] as number;
    rgba[to + 2] = bytes[from + 2] as number;
    rgba[to + 3] = 255;
  }
  return { width, height, rgba };
}

/** Rows of 32-bit pixels as words, wherever the caller's buffer starts. */
function wordsOf(bytes: Uint8Array, shape: FrameShape): { words: Int32Array; rowWords: number } | undefined {
  if (shape.stride % 4 !== 0 || bytes.byteOffset % 4 !== 0) return undefined;
  return {
    words: new Int32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 4)),
    rowWords: shape.stride / 4,
  };
}

function fromBgr(bytes: Uint8Array, shape: FrameShape, out: Int32Array): void {
  const rows = wordsOf(bytes, shape);
  const { width, height, stride } = shape;
  for (let y = 0, to = 0; y < height; y++) {
    if (rows !== undefined) {
      for (let from = y * rows.rowWords, end = from + width; from < end; from++) {
        const pixel = rows.words[from] as number;
        out[to++] = OPAQUE | (pixel & 0xff) << 16 | pixel & 0xff00 | pixel >>> 16 & 0xff;
      }
    } else {
      for (let from = y * stride, end = from + width * 4; from < end; from += 4) {
        out[to++] = OPAQUE | (bytes[from] as number) << 16 | (bytes[from + 1] as number) << 8 |
          (bytes[from + 2] as number);
      }
    }
  }
}

function fromRgb(bytes: Uint8Array, shape: FrameShape, out: Int32Array): void {
  const { width, height, stride } = shape;
  for (let y = 0, to = 0; y < height; y++) {
    for (let from = y * stride, end = from + width * 4; from < end; from += 4) {
      out[to++] = OPAQUE | (bytes[from + 2] as number) << 16 | (bytes[from + 1] as number) << 8 |
        (bytes[from] as number);
    }
  }
}

function fromRgb565(bytes: Uint8Array, shape: FrameShape, out: Int32Array): void {
  const { width, height, stride } = shape;
  for (let y = 0, to = 0; y < height; y++) {
    for (let from = y * stride, end = from + width * 2; from < end; from += 2) {
      const pixel = (bytes[from] as number) | (bytes[from + 1] as number) << 8;
      const r = pixel >>> 11;
      const g = pixel >>> 5 & 63;
      const b = pixel & 31;
      // The top bits once more at the bottom: white stays white.
      out[to++] = OPAQUE | (b << 3 | b >>> 2) << 16 | (g << 2 | g >>> 4) << 8 | (r << 3 | r >>> 2);
    }
  }
}

/** BT.601, limited range, as capture hardware gives it; in 16.16 fixed point. */
function fromNv12(bytes: Uint8Array, shape: FrameShape, out: Int32Array): void {
  const { width, height, stride } = shape;
  const chroma = stride * height;
  assert(bytes.length >= chroma / 2 * 3, "an NV12 frame has both planes");
  for (let y = 0, to = 0; y < height; y++) {
    const uvRow = chroma + (y >>> 1) * stride;
    for (let x = 0; x < width; x++) {
      const luma = 76_309 * ((bytes[y * stride + x] as number) - 16);
      const u = (bytes[uvRow + (x & ~1)] as number) - 128;
      const v = (bytes[uvRow + (x & ~1) + 1] as number) - 128;
      const r = clamp(luma + 104_597 * v);
      const g = clamp(luma - 25_675 * u - 53_279 * v);
      const b = clamp(luma + 132_201 * u);
      out[to++] = OPAQUE | b << 16 | g << 8 | r;
    }
  }
}

function clamp(value: number): number {
  const byte = (value + 32_768) >> 16;
  return byte < 0 ? 0 : byte > 255 ? 255 : byte;
}
