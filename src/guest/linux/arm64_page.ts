/**
 * Decodes an invalid Linux page-table entry of arm64: either a page that is in RAM but not accessible
 * (PROT_NONE, and NUMA balancing), or a record of where the page was moved.
 *
 * The first kind is made by PAGE_NONE: not global, no execution in either mode, and bit 1 of a page in the
 * last level. The bit that marks it changed in 6.11 (58 before, 11 since), and a swap entry of the other
 * layout may have either; none has all of these, since its offset would exceed any disk.
 * @module
 */
import { DESC_FRAME_HI, DESC_TABLE } from "../arm64_walker.ts";
import { WALK } from "../paging.ts";

/** Bit 11: not global. */
const NOT_GLOBAL = 0x800;
/** Bits 53 and 54: no execution. */
const NO_EXECUTION_HI = 3 << 21;
/** The largest granule's; a block's is larger. */
const LAST_SHIFT = 16;
const FRAME_SHIFT = 12;
/** A frame is an int32: past 8 TiB there is no RAM that we know. */
const FRAME_HI_LIMIT = 0x800;

/**
 * The frame of an invalid entry. As {@linkcode SoftwarePage}; allocates nothing.
 *
 * @param entryHi the entry's high half
 * @param entryLo its low half
 * @param hi the address's high half
 * @param lo the address's low half
 * @param shift first address bit of the entry's level
 */
export function arm64Page(entryHi: number, entryLo: number, hi: number, lo: number, shift: number): number {
  if ((entryHi | entryLo) === 0) return WALK.notPresent;
  const isPage = (entryHi & NO_EXECUTION_HI) === NO_EXECUTION_HI && (entryLo & NOT_GLOBAL) !== 0 &&
    (shift > LAST_SHIFT || (entryLo & DESC_TABLE) !== 0);
  if (!isPage) return WALK.pagedOut;
  const high = entryHi & DESC_FRAME_HI;
  if (high >= FRAME_HI_LIMIT) return WALK.outOfRam;
  const small = (1 << (shift - FRAME_SHIFT)) - 1;
  return (high << 20 | entryLo >>> 12) & ~small | (hi << 20 | lo >>> 12) & small;
}
