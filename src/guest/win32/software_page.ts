/**
 * Decodes a Windows page-table entry that is not present: a page in transition is still in RAM, and a
 * prototype entry refers to another entry that may be. Everything else (page file, demand zero, a file not
 * read yet) is not resident, and reported as such.
 *
 * Only last-level entries are decoded: a page table that is itself in transition is not followed. An entry
 * that refers to the VAD is not resident either.
 * @module
 */
import { AddressSpace } from "../address_space.ts";
import type { SoftwarePage } from "../page_walker.ts";
import type { Paging } from "../paging.ts";
import { PTE_P, WALK } from "../paging.ts";
import type { PhysicalMemory } from "../physical_memory.ts";

const PROTOTYPE = 0x400;
const TRANSITION = 0x800;
/** Frame bits of a transition entry's high half; not bit 45, which the L1TF mitigation sets. */
const TRANSITION_FRAME_HI = 0xdfff;
/** Frame bits of a present entry's high half. */
const PRESENT_FRAME_HI = 0xf_ffff;
/** A frame is an int32: past 8 TiB there is no RAM that we know. */
const FRAME_HI_LIMIT = 0x800;
/** Low bits of a prototype's address: it is 8-aligned. */
const UNALIGNED = 0x7_0000;
/** A prototype address from here on means "look the page up in the VAD". */
const ASK_THE_VAD = -0x1_0000_0000;

/**
 * Makes the resolver for one kernel; calling it allocates nothing.
 *
 * @param memory the guest's RAM
 * @param paging the paging mode
 * @param kernelRoot the root under which prototype entries are read
 */
export function windowsPages(memory: PhysicalMemory, paging: Paging, kernelRoot: number): SoftwarePage {
  // A space of its own, without this resolver: a prototype that leads to a prototype ends here.
  const kernel = new AddressSpace(memory, paging, kernelRoot);
  return (entryHi, entryLo, _hi, _lo, shift) => {
    if (shift !== 12) return WALK.notPresent;
    if ((entryLo & (PTE_P | PROTOTYPE)) === 0) {
      return (entryLo & TRANSITION) === 0 ? WALK.notPresent : frameOf(entryHi & TRANSITION_FRAME_HI, entryLo);
    }
    if ((entryLo & PROTOTYPE) === 0 || (entryLo & UNALIGNED) !== 0) return WALK.notPresent;
    // Its address is the entry's upper 48 bits, sign-extended; one in the user half comes out positive, and
    // is not valid.
    const address = (entryHi >> 16) * 2 ** 32 + ((entryHi << 16 | entryLo >>> 16) >>> 0);
    if (address >= ASK_THE_VAD || !kernel.load64(address)) return WALK.notPresent;
    const { hi, lo } = kernel;
    if ((lo & PTE_P) !== 0) return frameOf(hi & PRESENT_FRAME_HI, lo);
    if ((lo & (PROTOTYPE | TRANSITION)) === TRANSITION) return frameOf(hi & TRANSITION_FRAME_HI, lo);
    return WALK.notPresent;
  };
}

function frameOf(high: number, low: number): number {
  return high >= FRAME_HI_LIMIT ? WALK.outOfRam : high << 20 | low >>> 12;
}
