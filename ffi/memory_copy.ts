/**
 * Copies between a mapping and an array without making anything: a part of an array would otherwise cost a
 * view of it, 23 ns and garbage for each copy, against 10 ns here (measured for 64 bytes). And the search of
 * a mapping by libc, which compares many bytes at once where compiled JavaScript takes one.
 *
 * It checks that both ranges lie in what they are parts of; what the bytes mean, and whether the other
 * process that maps them is changing them meanwhile, is its caller's business.
 * @module
 */
import type { Mapping } from "./mapping.ts";
import { shim } from "./shim.ts";

/**
 * Copies a part of an array into a writable mapping.
 *
 * @param mapping where to
 * @param at first byte in the mapping
 * @param source where from
 * @param from first byte in the array
 * @param length how many bytes
 */
export function copyIn(mapping: Mapping, at: number, source: Uint8Array, from: number, length: number): void {
  checkCopy(mapping, at, source, from, length);
  if (!mapping.writable) throw new RangeError("what is copied into is writable");
  shim().vmsig_copy_in(mapping.address + at, source as Uint8Array<ArrayBuffer>, from, length);
}

/**
 * Copies a part of a mapping into an array.
 *
 * @param mapping where from
 * @param at first byte in the mapping
 * @param target where to
 * @param to first byte in the array
 * @param length how many bytes
 */
export function copyOut(mapping: Mapping, at: number, target: Uint8Array, to: number, length: number): void {
  checkCopy(mapping, at, target, to, length);
  shim().vmsig_copy_out(mapping.address + at, target as Uint8Array<ArrayBuffer>, to, length);
}

/**
 * Finds a pattern in a part of a mapping.
 *
 * @param mapping where to look
 * @param at first byte in the mapping
 * @param length how many bytes
 * @param pattern what to look for, whole; at least one byte
 * @returns how many bytes after `at` the first match begins; -1 for none
 */
export function findIn(mapping: Mapping, at: number, length: number, pattern: Uint8Array): number {
  if (!(length >= 0 && at >= 0 && at + length <= mapping.length && pattern.length > 0)) {
    throw new RangeError("what is searched lies in its mapping, and a pattern has a byte");
  }
  return shim().vmsig_find(
    mapping.address + at,
    length,
    pattern as Uint8Array<ArrayBuffer>,
    pattern.length,
  );
}

function checkCopy(mapping: Mapping, at: number, bytes: Uint8Array, from: number, length: number): void {
  // The length goes to C as an i32.
  if (
    !(length >= 0 && length <= 0x7fff_ffff && at >= 0 && from >= 0 && at + length <= mapping.length &&
      from + length <= bytes.length)
  ) {
    throw new RangeError("what is copied lies in its mapping and in its array");
  }
}
