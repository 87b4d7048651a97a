/**
 * The page walk of arm64 (VMSAv8-64) with granules of 4, 16 and 64 KiB, in each size of address that Linux
 * has (paging.ts). Frames stay those of 4 KiB: a table of 16 or 64 KiB has several, and a walk gives the one
 * that was asked for.
 *
 * An address's upper bits choose the root: the user half has the process's (TTBR0), the kernel half the
 * kernel's (TTBR1, `swapper_pg_dir`). A space whose root is the kernel's own has no user half.
 *
 * As in walker.ts there are two of it, and numbers only: {@linkcode Arm64Walker.regular} is the common case
 * of 4 KiB and four levels written out, {@linkcode Arm64Walker.explain} goes by the tables of paging.ts and
 * tells all.
 * What an entry does not have to do with a translation is not looked at: the access flag (the next access
 * sets it), the contiguous hint (each entry of a group translates by itself), shareability, memory type.
 * Source: Arm Architecture Reference Manual, D8 "The AArch64 Virtual Memory System Architecture".
 * @module
 */
import type { PageWalker } from "./page_walker.ts";
import { type Paging, PTE_NX_HI, PTE_U, PTE_W, WALK } from "./paging.ts";
import type { PhysicalMemory } from "./physical_memory.ts";

/** Bit 0: the entry is valid. */
export const DESC_VALID = 1;
/** Bit 1: a table above the last level, a page in it; without it a block. */
export const DESC_TABLE = 2;
/** Bit 6, AP[1]: user mode reaches it. */
const AP_USER = 0x40;
/** Bit 7, AP[2]: not to be written. */
const AP_READ_ONLY = 0x80;
/** Address bits 32 to 47 of an entry's high half. */
export const DESC_FRAME_HI = 0xffff;
/** The same with 52 bits and a granule of 4 or 16 KiB (LPA2): up to 49. */
const LPA2_FRAME_HI = 0x3_ffff;
/** Address bits from 48 on in an entry's low half: LPA2's 50 and 51; those of 64 KiB, 48 to 51. */
const LPA2_HIGHEST = 0x300;
const KIB64_HIGHEST = 0xf000;
/**
 * Bit 51, DBM: a write makes the page writable (by the hardware, or in Linux's fault handler): Linux sets it
 * for every page that may be written.
 */
const DBM_HI = 1 << 19;
/** Bits 53 and 54: no execution in kernel mode, in user mode. */
const PXN_HI = 1 << 21;
const UXN_HI = 1 << 22;
/** A table's bits 59 to 62, for all that is below it: PXN, UXN, not for user mode, read-only. */
const PXN_TABLE_HI = 1 << 27;
const UXN_TABLE_HI = 1 << 28;
const NO_USER_TABLE_HI = 1 << 29;
const READ_ONLY_TABLE_HI = 1 << 30;
/** A frame is an int32: past 8 TiB there is no RAM that is indexed. */
const FRAME_HI_LIMIT = 0x800;

/**
 * Whether an entry's address is one that an int32 of frames holds: it is below 8 TiB.
 *
 * @param paging the mode, which says where an address's highest bits are kept
 */
export function isFrameNear(paging: Paging, entryHi: number, entryLo: number): boolean {
  const isLarge = paging.addressBits === 53 && paging.granuleShift < 16;
  const highest = isLarge ? LPA2_HIGHEST : paging.granuleShift === 16 ? KIB64_HIGHEST : 0;
  return (entryHi & (isLarge ? LPA2_FRAME_HI : DESC_FRAME_HI)) < FRAME_HI_LIMIT && (entryLo & highest) === 0;
}

/** What a table's entry forbids below it, from its high half: AP[1] and AP[2] as in a page, PXN and UXN. */
export function tableLimits(entryHi: number): number {
  return ((entryHi & READ_ONLY_TABLE_HI) !== 0 ? AP_READ_ONLY : 0) |
    ((entryHi & NO_USER_TABLE_HI) !== 0 ? AP_USER : 0) |
    ((entryHi & PXN_TABLE_HI) !== 0 ? PXN_HI : 0) | ((entryHi & UXN_TABLE_HI) !== 0 ? UXN_HI : 0);
}

/**
 * What a page allows, as PTE_W and PTE_U.
 *
 * @param limits what the tables above it forbid ({@linkcode tableLimits}, or-ed)
 */
export function pageAllows(entryLo: number, entryHi: number, limits: number): number {
  const writable = ((entryLo & AP_READ_ONLY) === 0 || (entryHi & DBM_HI) !== 0) &&
    (limits & AP_READ_ONLY) === 0;
  const user = (entryLo & AP_USER) !== 0 && (limits & AP_USER) === 0;
  return (writable ? PTE_W : 0) | (user ? PTE_U : 0);
}

/**
 * PTE_NX_HI when a page may not be executed by those whose half it lies in, else 0.
 *
 * @param limits what the tables above it forbid
 * @param kernelHalf whether it lies in the kernel half
 */
export function pageForbids(entryHi: number, limits: number, kernelHalf: boolean): number {
  return ((entryHi | limits) & (kernelHalf ? PXN_HI : UXN_HI)) !== 0 ? PTE_NX_HI : 0;
}

/** Walks the tables of one paging mode of arm64. */
export class Arm64Walker implements PageWalker {
  readonly paging: Paging;
  shift = 12;
  entryLo = 0;
  entryHi = 0;
  tableFrame = 0;
  allowLo = 0;
  forbidHi = 0;
  kernelRootFrame: number;
  rootOffset = 0;
  readonly regularWords: number;

  readonly #memory: PhysicalMemory;
  readonly #shifts: Int32Array;
  readonly #masks: Int32Array;
  readonly #blocks: Int32Array;
  readonly #canonicalShift: number;
  /** Frames of a granule's first. */
  readonly #granule: number;
  // A plain property, as in walker.ts: a private name costs the hot path bytecode.
  private readonly linear: Int32Array;

  /**
   * A walker for one paging mode.
   *
   * @param memory the guest's RAM
   * @param paging one of arm64
   * @param kernelRootFrame frame number of the kernel half's root
   */
  constructor(memory: PhysicalMemory, paging: Paging, kernelRootFrame: number) {
    this.#memory = memory;
    this.paging = paging;
    this.kernelRootFrame = kernelRootFrame;
    this.#shifts = Int32Array.from(paging.table, (level) => level.shift);
    this.#masks = Int32Array.from(paging.table, (level) => (1 << level.indexBits) - 1);
    this.#blocks = Int32Array.from(paging.table, (level) => level.mayBePage ? 1 : 0);
    this.#canonicalShift = paging.addressBits - 33;
    this.#granule = -(1 << (paging.granuleShift - 12));
    this.linear = memory.linear;
    this.regularWords = paging.levels === 4 && paging.variant === 0 ? memory.linear.length : 0;
  }

  walk(rootFrame: number, hi: number, lo: number): number {
    const frame = this.regular(rootFrame, hi, lo, this.regularWords);
    return frame >= 0 ? frame : this.explain(rootFrame, hi, lo);
  }

  /**
   * Literals as in walker.ts: 3 is a valid table or page, 1 a valid block. This does not cover a root past 8
   * GiB, whose index an int32 does not hold.
   */
  regular(table: number, hi: number, lo: number, end: number): number {
    const words = this.linear;
    const kernel = this.kernelRootFrame;
    if (hi < 0) table = kernel;
    else if (table === kernel) return -9;
    let at = table << 10 | hi >>> 6 & 1022;
    regular: if (at < end && hi >> 16 === hi >> 31 && table < 0x20_0000) {
      let e = words[at] as number;
      let h = words[at | 1] as number;
      let high = h;
      if ((e & 3) !== 3) break regular;
      at = h << 30 | (hi << 3 | lo >>> 29) & 1022 | e >>> 12 << 10;
      if (at >= end) break regular;
      e = words[at] as number;
      h = words[at | 1] as number;
      if ((e & 3) !== 3) break regular;
      high |= h;
      at = h << 30 | lo >>> 20 & 1022 | e >>> 12 << 10;
      if (at >= end) break regular;
      e = words[at] as number;
      h = words[at | 1] as number;
      high |= h;
      if ((e & 3) !== 3) {
        if ((e & 3) !== 1 || (high & 0xfffe) !== 0) break regular;
        return (h & 1) << 20 | e >>> 12 & 0xffe00 | lo >>> 12 & 511;
      }
      at = h << 30 | lo >>> 11 & 1022 | e >>> 12 << 10;
      if (at >= end) break regular;
      e = words[at] as number;
      h = words[at | 1] as number;
      if ((high | h) & 0xfffe | ~e & 3) break regular;
      return (h & 1) << 20 | e >>> 12;
    }
    return -9;
  }

  explain(rootFrame: number, hi: number, lo: number): number {
    const kernelHalf = hi < 0;
    const top = this.#shifts[0] as number;
    const sign = hi >> this.#canonicalShift;
    if (sign !== 0 && sign !== -1) return this.#stop(WALK.nonCanonical, top, 0, 0, rootFrame);
    if (!kernelHalf && rootFrame === this.kernelRootFrame) {
      return this.#stop(WALK.notPresent, top, 0, 0, rootFrame);
    }
    const memory = this.#memory;
    const last = this.#shifts.length - 1;
    let table = kernelHalf ? this.kernelRootFrame : rootFrame;
    let offset = kernelHalf ? 0 : this.rootOffset;
    let limits = 0;
    for (let level = 0; level <= last; level++) {
      const shift = this.#shifts[level] as number;
      // Of a table that is larger than a frame, the frame with the entry.
      const byte = offset + (indexAt(shift, hi, lo) & (this.#masks[level] as number)) * 8;
      table += byte >>> 12;
      if (!memory.locate(table)) return this.#stop(WALK.outOfRam, shift, 0, 0, table);
      const at = memory.wordBase + (byte >>> 2 & 0x3ff);
      const entryLo = memory.words[at] as number;
      const entryHi = memory.words[at + 1] as number;
      if ((entryLo & DESC_VALID) === 0) return this.#stop(WALK.notPresent, shift, entryLo, entryHi, table);
      const isTable = (entryLo & DESC_TABLE) !== 0;
      // A block where there are none, or what is neither page nor block in the last level.
      if (!isTable && (level === last || this.#blocks[level] !== 1)) {
        return this.#stop(WALK.reserved, shift, entryLo, entryHi, table);
      }
      if (!isFrameNear(this.paging, entryHi, entryLo)) {
        return this.#stop(WALK.outOfRam, shift, entryLo, entryHi, table);
      }
      const frame = (entryHi & DESC_FRAME_HI) << 20 | entryLo >>> 12;
      if (!isTable || level === last) {
        this.#stop(0, shift, entryLo, entryHi, table);
        this.allowLo = pageAllows(entryLo, entryHi, limits);
        this.forbidHi = pageForbids(entryHi, limits, kernelHalf);
        const small = (1 << (shift - 12)) - 1;
        // A block may be larger than 4 GiB.
        return frame & ~small | ((hi << 20 | lo >>> 12) & small);
      }
      limits |= tableLimits(entryHi);
      table = frame & this.#granule;
      offset = 0;
    }
    return WALK.notPresent;
  }

  #stop(result: number, shift: number, entryLo: number, entryHi: number, table: number): number {
    this.shift = shift;
    this.entryLo = entryLo;
    this.entryHi = entryHi;
    this.tableFrame = table;
    this.allowLo = 0;
    this.forbidHi = 0;
    return result;
  }
}

/** The address from bit `shift` (12 to 63) on: its lower bits are the index of a table. */
function indexAt(shift: number, hi: number, lo: number): number {
  return shift >= 32 ? hi >>> (shift - 32) : hi << (32 - shift) | lo >>> shift;
}
