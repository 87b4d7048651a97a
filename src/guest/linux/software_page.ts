/**
 * Decodes a Linux page-table entry that is not present (x86-64): either a page that is in RAM but not
 * accessible (PROT_NONE, and NUMA balancing, which waits for the next access), or a record of where the page
 * was moved.
 *
 * The first kind has the bit of global pages set, which no swap entry has; its frame is stored inverted since
 * 4.19, so that a processor that looks past the present bit (L1TF) finds no memory there. A swap entry is
 * anything else that is not zero.
 * @module
 */
import { PTE_FRAME_HI, PTE_PS, WALK } from "../paging.ts";

/** Bit 8: with the present bit clear, "in RAM, and not to be touched". */
const PTE_PROTNONE = 0x100;
const SMALL_SHIFT = 12;
/** A frame is an int32: past 8 TiB there is no RAM that we know. */
const FRAME_HI_LIMIT = 0x800;

/**
 * The frame of an entry that is not present. As {@linkcode SoftwarePage}; allocates nothing.
 *
 * @param entryHi the entry's high half
 * @param entryLo its low half
 * @param _hi the address's high half
 * @param lo the address's low half
 * @param shift first address bit of the entry's level
 */
export function linuxPage(entryHi: number, entryLo: number, _hi: number, lo: number, shift: number): number {
  if ((entryHi | entryLo) === 0) return WALK.notPresent;
  const isPage = (entryLo & PTE_PROTNONE) !== 0 && (shift === SMALL_SHIFT || (entryLo & PTE_PS) !== 0);
  if (!isPage) return WALK.pagedOut;
  const high = ~entryHi & PTE_FRAME_HI;
  if (high >= FRAME_HI_LIMIT) return WALK.outOfRam;
  const small = (1 << (shift - SMALL_SHIFT)) - 1;
  return (high << 20 | ~entryLo >>> 12) & ~small | lo >>> 12 & small;
}
