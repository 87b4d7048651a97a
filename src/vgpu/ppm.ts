/**
 * The head of a binary PPM (P6, 8 bits a channel): what QEMU's screendump writes. Bytes of another process:
 * all of it is checked.
 * @module
 */
import { MAX_PICTURE_SIDE, MAX_VGPU_SLOT_BYTES } from "../base/limits.ts";

/** What a head says. */
export type PpmHead =
  | {
    readonly ok: true;
    /** Pixels in a row. */
    readonly width: number;
    /** Rows. */
    readonly height: number;
    /** Where the pixels start: three bytes each, red, green, blue. */
    readonly dataOffset: number;
  }
  | { readonly ok: false; readonly why: string };

/** Longest head that is read: comments are allowed in it, a novel is not. */
const MAX_HEAD_BYTES = 1024;
const NEWLINE = 10;
const SPACES: ReadonlySet<number> = new Set([9, NEWLINE, 11, 12, 13, 32]);

/**
 * Reads a head.
 *
 * @param bytes the file's start
 * @param length how many of its bytes are there
 * @param fileBytes how many bytes the file has; as many as are there unless told
 */
export function readPpmHead(bytes: Uint8Array, length: number, fileBytes: number = length): PpmHead {
  if (length < 2 || bytes[0] !== 0x50 || bytes[1] !== 0x36) {
    return { ok: false, why: "it is not a binary PPM" };
  }
  const numbers: number[] = [];
  let at = 2;
  while (numbers.length < 3) {
    const start = skipSpace(bytes, at, length);
    if (start === undefined || start === at) return { ok: false, why: "its head is cut short" };
    at = start;
    let value = 0;
    while (at < length && (bytes[at] as number) >= 48 && (bytes[at] as number) <= 57) {
      value = value * 10 + (bytes[at++] as number) - 48;
      if (value > MAX_PICTURE_SIDE) return { ok: false, why: "it says it is larger than any screen" };
    }
    if (at === start) return { ok: false, why: "its head has something else than numbers" };
    numbers.push(value);
  }
  const [width = 0, height = 0, maximum = 0] = numbers;
  if (!SPACES.has(bytes[at] ?? 0) || at + 1 > length) return { ok: false, why: "its head does not end" };
  if (maximum !== 255) return { ok: false, why: `it has ${maximum} levels a channel, not 255` };
  if (width === 0 || height === 0 || width * height * 4 > MAX_VGPU_SLOT_BYTES) {
    return { ok: false, why: "its size is absurd" };
  }
  const dataOffset = at + 1;
  if (dataOffset + width * height * 3 > fileBytes) {
    return { ok: false, why: "it has fewer pixels than it says" };
  }
  return { ok: true, width, height, dataOffset };
}

function skipSpace(bytes: Uint8Array, from: number, length: number): number | undefined {
  let at = from;
  const end = Math.min(length, MAX_HEAD_BYTES);
  while (at < end) {
    if (SPACES.has(bytes[at] as number)) at++;
    else if (bytes[at] === 35) {
      while (at < end && bytes[at] !== NEWLINE) at++;
    } else return at;
  }
  return undefined;
}

/** Spreads three bytes a pixel to four: RGBA, opaque. */
export function ppmToRgba(bytes: Uint8Array, dataOffset: number, pixels: number, into: Uint8Array): void {
  for (let i = 0, from = dataOffset, to = 0; i < pixels; i++, from += 3, to += 4) {
    into[to] = bytes[from] as number;
    into[to + 1] = bytes[from + 1] as number;
    into[to + 2] = bytes[from + 2] as number;
    into[to + 3] = 255;
  }
}
