/**
 * Finds ntoskrnl in an address space: backwards from the kernel's entry point, or, without one, in all mapped
 * pages of the kernel half.
 *
 * An image is the kernel if its export directory says so; if that cannot be read, if its first page names the
 * section POOLCODE, which only the kernel has. Under VBS the pages after the header may not be mapped: a
 * place is judged by what can be read.
 * @module
 */
import { MAX_KERNEL_PLACES } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import { PTE_FRAME_HI, PTE_P, PTE_PS } from "../paging.ts";
import { PAGE_BYTES } from "../physical_memory.ts";
import { exportName, type PeImage, readPeImage } from "./pe_image.ts";

const STEP_BYTES = 2 ** 21;
const REACH_BYTES = 2 ** 25;
const HEADER_WORDS = PAGE_BYTES / 4;
/** "POOL", "CODE" as little-endian words. */
const POOL = 0x4c4f_4f50;
const CODE = 0x4544_4f43;
const MZ_FIRST = 0x5a4d;
/** Top-level entry of 0xfffff800_00000000, where the loader puts the kernel: tried first. */
const LIKELY_ENTRY = 0x1f0;

/**
 * Looks at each page of the 32 MiB up to an entry point, 2 MiB at a time, the nearest first.
 *
 * @param space the kernel's address space
 * @param entry an address within the kernel
 */
export function findKernelNear(space: AddressSpace, entry: number): PeImage | undefined {
  const first = Math.floor(entry / STEP_BYTES) * STEP_BYTES;
  for (let step = first; step > first - REACH_BYTES; step -= STEP_BYTES) {
    for (let at = step; at < step + STEP_BYTES && at <= entry; at += PAGE_BYTES) {
      const image = kernelAt(space, at);
      if (image !== undefined) return image;
    }
  }
  return undefined;
}

/** The number of places that may still be tried: shared by all candidates of one search. */
export interface PlaceBudget {
  /** Places left. */
  left: number;
}

/**
 * Tries each mapped page of the kernel half, as long as the budget lasts.
 *
 * @param space the kernel's address space
 * @param budget what is left to try
 */
export function findKernelAnywhere(
  space: AddressSpace,
  budget: PlaceBudget = { left: MAX_KERNEL_PLACES },
): PeImage | undefined {
  const search = new TableSearch(space, budget);
  const { rootFrame } = space;
  // Under 5 levels the likely place is behind the last top entry.
  if (space.paging.levels === 5) {
    return search.under(rootFrame, 48, -(2 ** 56), 511) ?? search.under(rootFrame, 48, -(2 ** 56));
  }
  return search.under(rootFrame, 39, -(2 ** 47), LIKELY_ENTRY) ?? search.under(rootFrame, 39, -(2 ** 47));
}

/** Whether the kernel's image starts at this page; its headers. */
function kernelAt(space: AddressSpace, at: number): PeImage | undefined {
  if (!space.load32(at) || (space.lo & 0xffff) !== MZ_FIRST) return undefined;
  const image = readPeImage(space, at);
  if (image === undefined) return undefined;
  const name = exportName(space, image);
  if (name !== undefined) return name.toLowerCase() === "ntoskrnl.exe" ? image : undefined;
  return namesPoolCode(space, at) ? image : undefined;
}

/** Section names are 8-aligned in the first page. */
function namesPoolCode(space: AddressSpace, at: number): boolean {
  const page = new Uint8Array(PAGE_BYTES);
  if (space.read(at, page) < PAGE_BYTES) return false;
  const words = new Int32Array(page.buffer);
  for (let i = 0; i + 1 < HEADER_WORDS; i++) {
    if (words[i] === POOL && words[i + 1] === CODE) return true;
  }
  return false;
}

/**
 * Goes through page tables, counting each entry, so that tables that refer to each other end the search
 * early.
 */
class TableSearch {
  readonly #space: AddressSpace;
  readonly #budget: PlaceBudget;
  readonly #topShift: number;

  constructor(space: AddressSpace, budget: PlaceBudget) {
    this.#space = space;
    this.#budget = budget;
    this.#topShift = space.paging.levels === 5 ? 48 : 39;
  }

  /**
   * Looks below one table.
   *
   * @param frame the table
   * @param shift first address bit that it indexes
   * @param base address of its first entry (at the top level: of the kernel half)
   * @param only at the top level: the one entry to look at
   */
  under(frame: number, shift: number, base: number, only?: number): PeImage | undefined {
    const isTop = shift === this.#topShift;
    const from = only ?? (isTop ? 256 : 0);
    const to = only === undefined ? 512 : only + 1;
    for (let i = from; i < to && this.#budget.left > 0; i++) {
      this.#budget.left--;
      const { memory } = this.#space;
      if (!memory.locate(frame)) return undefined;
      const lo = memory.words[memory.wordBase + 2 * i] as number;
      const hi = memory.words[memory.wordBase + 2 * i + 1] as number;
      const next = (hi & PTE_FRAME_HI) << 20 | lo >>> 12;
      // The entry that names the root maps the tables themselves: nothing to find there.
      // Past 8 TiB there is no RAM that we know, and a frame would not be an int32.
      if ((lo & PTE_P) === 0 || (hi & PTE_FRAME_HI) >= 0x800 || (isTop && next === this.#space.rootFrame)) {
        continue;
      }
      const address = base + (isTop ? i - 256 : i) * 2 ** shift;
      const found = this.#entry(address, shift, next, (lo & PTE_PS) !== 0);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #entry(address: number, shift: number, frame: number, large: boolean): PeImage | undefined {
    if (shift === 12) return kernelAt(this.#space, address);
    if (!large) return this.under(frame, shift - 9, address);
    if (shift !== 21) return undefined;
    // A large page may hold the header anywhere in it.
    for (let at = address; at < address + STEP_BYTES && this.#budget.left > 0; at += PAGE_BYTES) {
      this.#budget.left--;
      const image = kernelAt(this.#space, at);
      if (image !== undefined) return image;
    }
    return undefined;
  }
}
