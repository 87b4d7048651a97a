/**
 * The process environment block: a Windows process's data about itself in user memory. The fields read here
 * are at the same place in every x64 build (documented by Microsoft's headers as far as they are public).
 *
 * The process can write anything into it, so its contents are not trusted, and bounded.
 * @module
 */
import type { AddressSpace } from "../address_space.ts";
import { MAX_COMMAND_LINE_BYTES } from "../../base/limits.ts";
import { isUserPointer } from "./link_walk.ts";
import { type PointerAt, readUnicode } from "./unicode_string.ts";

/** PEB.ImageBaseAddress. */
const IMAGE_BASE_AT = 0x10;
/** PEB.Ldr. */
export const LDR_AT = 0x18;
const PARAMETERS_AT = 0x20;
const COMMAND_LINE_AT = 0x70;
/** PEB32.ImageBaseAddress, in the 32-bit twin of a WOW64 process. */
const IMAGE_BASE_32_AT = 0x08;
const PAGE_BYTES = 4096;
const USER32_END = 2 ** 32;

/**
 * Whether a PEB may start here: a user page that reads, with an image base and a loader's data in their
 * places.
 */
export function looksLikePeb(space: AddressSpace, address: number): boolean {
  if (!isUserPointer(address) || address % PAGE_BYTES !== 0) return false;
  const image = space.readS64(address, IMAGE_BASE_AT);
  return isUserPointer(image) && image % PAGE_BYTES === 0 && isUserPointer(space.readS64(address, LDR_AT)) &&
    isUserPointer(space.readS64(address, PARAMETERS_AT));
}

/**
 * The PEB of the 32-bit half of a WOW64 process: a neighbour page of the 64-bit one that names the same
 * image.
 *
 * @returns undefined in a 64-bit process
 */
export function peb32Of(space: AddressSpace, peb: number): number | undefined {
  const image = space.readS64(peb, IMAGE_BASE_AT);
  if (!(image > 0 && image < USER32_END)) return undefined;
  for (const neighbour of [peb + PAGE_BYTES, peb - PAGE_BYTES]) {
    if (neighbour < 0 || neighbour >= USER32_END) continue;
    if (space.readU32(neighbour, IMAGE_BASE_32_AT) === image) return neighbour;
  }
  return undefined;
}

/** The command line, one string as Windows keeps it; undefined when it does not read. */
export function readCommandLine(space: AddressSpace, peb: number): string | undefined {
  const parameters = space.readS64(peb, PARAMETERS_AT);
  if (!isUserPointer(parameters)) return undefined;
  const pointerAt: PointerAt = 8;
  // The structure is 8-aligned in every build; with another address the process only affects its own results.
  return readUnicode(space, parameters, COMMAND_LINE_AT, MAX_COMMAND_LINE_BYTES, pointerAt);
}
