/**
 * DES in one direction (FIPS 46-3), for the challenge of VNC authentication and for nothing else: it protects
 * nothing today, but VNC servers ask for it. Deno's node:crypto has no des-ecb. Two blocks a connection: so
 * it is written for the eye, over arrays of bits, and not for speed.
 * @module
 */
import { assert } from "../base/assert.ts";

// The tables count bits from 1, the leftmost; so does the standard that they are from.
// deno-fmt-ignore
const INITIAL = [58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6,
  64, 56, 48, 40, 32, 24, 16, 8, 57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3,
  61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7];
// deno-fmt-ignore
const FINAL = [40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31, 38, 6, 46, 14, 54, 22, 62, 30,
  37, 5, 45, 13, 53, 21, 61, 29, 36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27,
  34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41, 9, 49, 17, 57, 25];
// deno-fmt-ignore
const EXPANSION = [32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17,
  16, 17, 18, 19, 20, 21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1];
// deno-fmt-ignore
const PERMUTATION = [16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10,
  2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25];
// deno-fmt-ignore
const KEY_CHOICE_1 = [57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11,
  3, 60, 52, 44, 36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13,
  5, 28, 20, 12, 4];
// deno-fmt-ignore
const KEY_CHOICE_2 = [14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
  41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32];
const SHIFTS = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];
// Each row is four rows of sixteen, as hexadecimal digits.
const BOXES = [
  "e4d12fb83a6c5907" + "0f74e2d1a6cb9538" + "41e8d62bfc973a50" + "fc8249175b3ea06d",
  "f18e6b34972dc05a" + "3d47f28ec01a69b5" + "0e7ba4d158c6932f" + "d8a13f42b67c05e9",
  "a09e63f51dc7b428" + "d709346a285ecbf1" + "d6498f30b12c5ae7" + "1ad069874fe3b52c",
  "7de3069a1285bc4f" + "d8b56f03472c1ae9" + "a690cb7df13e5284" + "3f06a1d8945bc72e",
  "2c417ab6853fd0e9" + "eb2c47d150fa3986" + "421bad78f9c5630e" + "b8c71e2d6f09a453",
  "c1af92680d34e75b" + "af427c9561de0b38" + "9ef528c3704a1db6" + "432c95fabe17608d",
  "4b2ef08d3c975a61" + "d0b7491ae35c2f86" + "14bdc37eaf680592" + "6bd814a7950fe23c",
  "d2846fb1a93e50c7" + "1fd8a374c56b0e92" + "7b419ce206adf358" + "21e74a8dfc90356b",
];

/**
 * Encrypts one block.
 *
 * @param key 8 bytes; the lowest bit of each is not used
 * @param block 8 bytes
 * @returns 8 bytes
 */
export function desEncrypt(key: Uint8Array, block: Uint8Array): Uint8Array<ArrayBuffer> {
  assert(key.length === 8 && block.length === 8, "a key and a block of DES have 8 bytes");
  const keys = roundKeys(bitsOf(key));
  const bits = pick(bitsOf(block), INITIAL);
  let left = bits.slice(0, 32);
  let right = bits.slice(32);
  for (const roundKey of keys) {
    const mixed = round(right, roundKey);
    const next = left.map((bit, i) => bit ^ (mixed[i] as number));
    left = right;
    right = next;
  }
  return bytesOfBits(pick([...right, ...left], FINAL));
}

function roundKeys(key: readonly number[]): number[][] {
  const chosen = pick(key, KEY_CHOICE_1);
  let left = chosen.slice(0, 28);
  let right = chosen.slice(28);
  return SHIFTS.map((shift) => {
    left = [...left.slice(shift), ...left.slice(0, shift)];
    right = [...right.slice(shift), ...right.slice(0, shift)];
    return pick([...left, ...right], KEY_CHOICE_2);
  });
}

function round(half: readonly number[], key: readonly number[]): number[] {
  const mixed = pick(half, EXPANSION).map((bit, i) => bit ^ (key[i] as number));
  const out: number[] = [];
  BOXES.forEach((box, i) => {
    const six = mixed.slice(6 * i, 6 * i + 6) as [number, number, number, number, number, number];
    const row = six[0] * 2 + six[5];
    const column = six[1] * 8 + six[2] * 4 + six[3] * 2 + six[4];
    const value = parseInt(box.charAt(16 * row + column), 16);
    out.push(value >> 3 & 1, value >> 2 & 1, value >> 1 & 1, value & 1);
  });
  return pick(out, PERMUTATION);
}

function pick(bits: readonly number[], table: readonly number[]): number[] {
  return table.map((place) => bits[place - 1] as number);
}

function bitsOf(bytes: Uint8Array): number[] {
  return Array.from({ length: bytes.length * 8 }, (_, i) => (bytes[i >> 3] as number) >> (7 - (i & 7)) & 1);
}

function bytesOfBits(bits: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(bits.length / 8);
  bits.forEach((bit, i) => bytes[i >> 3] = (bytes[i >> 3] as number) | bit << (7 - (i & 7)));
  return bytes;
}
