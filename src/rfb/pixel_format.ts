/**
 * RFB's pixel format: how many bits a pixel has and where its colours are in it.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { PIXEL_FORMAT_BYTES } from "./protocol.ts";

/** A pixel format (RFC 6143, 7.4). */
export interface PixelFormat {
  /** 8, 16 or 32. */
  readonly bitsPerPixel: number;
  /** Bits that mean something, at most `bitsPerPixel`. */
  readonly depth: number;
  /** Whether the first byte of a pixel is its most significant. */
  readonly bigEndian: boolean;
  /** Whether a pixel is a colour and not an index of a map. */
  readonly trueColour: boolean;
  /** Largest values of red, green and blue. */
  readonly max: readonly [red: number, green: number, blue: number];
  /** Where their lowest bits are. */
  readonly shift: readonly [red: number, green: number, blue: number];
}

/** Blue, green, red, unused: what a canvas has, and QEMU's own. */
export const BGRX: PixelFormat = {
  bitsPerPixel: 32,
  depth: 24,
  bigEndian: false,
  trueColour: true,
  max: [255, 255, 255],
  shift: [16, 8, 0],
};

/** Writes a format's 16 bytes. */
export function writePixelFormat(view: DataView, at: number, format: PixelFormat): void {
  view.setUint8(at, format.bitsPerPixel);
  view.setUint8(at + 1, format.depth);
  view.setUint8(at + 2, format.bigEndian ? 1 : 0);
  view.setUint8(at + 3, format.trueColour ? 1 : 0);
  format.max.forEach((max, i) => view.setUint16(at + 4 + 2 * i, max));
  format.shift.forEach((shift, i) => view.setUint8(at + 10 + i, shift));
  for (let i = 13; i < PIXEL_FORMAT_BYTES; i++) view.setUint8(at + i, 0);
}

/**
 * Reads a format and checks that colours can be taken out of a pixel with it.
 *
 * @throws {Fault} `protocol-error`
 */
export function readPixelFormat(view: DataView, at: number): PixelFormat {
  const format: PixelFormat = {
    bitsPerPixel: view.getUint8(at),
    depth: view.getUint8(at + 1),
    bigEndian: view.getUint8(at + 2) !== 0,
    trueColour: view.getUint8(at + 3) !== 0,
    max: [view.getUint16(at + 4), view.getUint16(at + 6), view.getUint16(at + 8)],
    shift: [view.getUint8(at + 10), view.getUint8(at + 11), view.getUint8(at + 12)],
  };
  const { bitsPerPixel, depth, trueColour, max, shift } = format;
  if (bitsPerPixel !== 8 && bitsPerPixel !== 16 && bitsPerPixel !== 32) {
    throw wrong(`${bitsPerPixel} bits per pixel, and 8, 16 and 32 are possible`);
  }
  if (depth < 1 || depth > bitsPerPixel) throw wrong(`a depth of ${depth} in ${bitsPerPixel} bits`);
  if (!trueColour) return format;
  max.forEach((most, i) => {
    if (most < 1 || (most & (most + 1)) !== 0) throw wrong(`a largest value of ${most}`);
    if ((shift[i] as number) + Math.log2(most + 1) > bitsPerPixel) throw wrong("colours outside of a pixel");
  });
  return format;
}

function wrong(what: string): Fault {
  return new Fault("protocol-error", `Cannot use an RFB pixel format: it has ${what}`);
}
