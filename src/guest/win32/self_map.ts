/**
 * The self-map: Windows' root table has an entry that refers to the table itself. Without a low stub, the
 * kernel's root is found by that, in the first 16 MiB. The pattern is that of the published tools; it does
 * not distinguish 4 levels from 5.
 * @module
 */
import { MAX_ROOT_CANDIDATES } from "../../base/limits.ts";
import { PAGE_BYTES, type PhysicalMemory } from "../physical_memory.ts";

const END_FRAME = 2 ** 24 / PAGE_BYTES;
const ENTRIES = 512;
const KERNEL_HALF = 256;
/** P, W, PS: an entry that names its own table is present, writable, and no page. */
const SELF_FLAGS = 0x83;
const SELF_VALUE = 0x03;
/** P, W, U, PS: a table of the kernel's, not of a user's. */
const TABLE_FLAGS = 0x87;
const MIN_KERNEL_TABLES = 6;
const MIN_ZEROS_PER_HALF = 0x40;

/** Guest-physical addresses of the tables below 16 MiB that name themselves as Windows does. */
export function findSelfMapped(memory: PhysicalMemory): number[] {
  const found: number[] = [];
  for (let frame = 1; frame < END_FRAME && found.length < MAX_ROOT_CANDIDATES; frame++) {
    if (!memory.locate(frame) || !memory.isHeld(frame)) continue;
    if (looksLikeRoot(memory.words, memory.wordBase, frame)) found.push(frame * PAGE_BYTES);
  }
  return found;
}

function looksLikeRoot(words: Int32Array, base: number, frame: number): boolean {
  let selfMapped = false;
  let tables = 0;
  let userZeros = 0;
  let kernelZeros = 0;
  for (let i = 0; i < ENTRIES; i++) {
    const lo = words[base + 2 * i] as number;
    const hi = words[base + 2 * i + 1] as number;
    if (lo === 0 && hi === 0) {
      if (i < KERNEL_HALF) userZeros++;
      else kernelZeros++;
    }
    if (i < KERNEL_HALF) continue;
    if ((lo & SELF_FLAGS) === SELF_VALUE && lo >>> 12 === frame && (hi & 0xffff) === 0) selfMapped = true;
    if ((lo & TABLE_FLAGS) === SELF_VALUE && hi >= 0) tables++;
  }
  return selfMapped && tables >= MIN_KERNEL_TABLES && userZeros > MIN_ZEROS_PER_HALF &&
    kernelZeros > MIN_ZEROS_PER_HALF;
}
