/**
 * UNICODE_STRING in Windows' memory: a length in bytes, and a pointer to UTF-16 text without a terminator. As
 * much as can be read is returned; a length that is odd, or above the limit of its kind, is cut.
 * @module
 */
import type { AddressSpace } from "../address_space.ts";

const MAX_BYTES = 65_534;
/** Text in pieces of a page, so that a buffer of 64 KiB is made only for text of that size. */
const PIECE_BYTES = 4096;

/** Where a UNICODE_STRING keeps its pointer: 8 in a 64-bit process, 4 in a 32-bit one. */
export type PointerAt = 4 | 8;

/**
 * Reads one.
 *
 * @param space the address space of the structure and of the text
 * @param base address of a structure, 8-aligned
 * @param offset where in it the string is
 * @param maxBytes limit of its length, bytes
 * @param pointerAt 8, or 4 for a 32-bit process's
 * @returns undefined when the structure or the text's first byte cannot be read; "" when it is empty
 */
export function readUnicode(
  space: AddressSpace,
  base: number,
  offset: number,
  maxBytes: number = MAX_BYTES,
  pointerAt: PointerAt = 8,
): string | undefined {
  const claimed = space.readU16(base, offset);
  if (Number.isNaN(claimed)) return undefined;
  const length = Math.min(claimed, maxBytes) & ~1;
  if (length === 0) return "";
  const buffer = pointerAt === 8 ? space.readS64(base, offset + 8) : space.readU32(base, offset + 4);
  if (Number.isNaN(buffer) || buffer === 0) return undefined;
  return utf16At(space, pointerAt === 8 ? space.hi : 0, space.lo, length);
}

/**
 * Text at an address given as halves: a kernel address under 5 levels is exact as a double only to 8 bytes.
 */
function utf16At(space: AddressSpace, hi: number, lo: number, length: number): string | undefined {
  const skip = lo & 7;
  const base = hi * 2 ** 32 + ((lo & ~7) >>> 0);
  let bytes = new Uint8Array(Math.min(skip + length, PIECE_BYTES));
  let have = space.read(base, bytes);
  if (have === bytes.length && bytes.length < skip + length) {
    const whole = new Uint8Array(skip + length);
    whole.set(bytes);
    bytes = whole;
    have += space.read(base + have, bytes, have);
  }
  const text = (have - skip) & ~1;
  if (have <= skip || text === 0) return undefined;
  return utf16Of(bytes, skip, skip + text);
}

/**
 * Units as they are, up to the first NUL: a decoder would make halves of pairs alike, which a name may have.
 */
function utf16Of(bytes: Uint8Array, from: number, to: number): string {
  let text = "";
  for (let at = from; at < to; at += 2) {
    const unit = (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
    if (unit === 0) break;
    text += String.fromCharCode(unit);
  }
  return text;
}
