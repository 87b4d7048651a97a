/**
 * A process's mappings by its page tables: the pages that are present in the user half, neighbours that allow the same as one run. What is
 * used where the kernel's own tree of ranges is not understood: it shows no file, and nothing that is paged out.
 * @module
 */
import { MAX_KERNEL_PLACES, MAX_LISTING } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import { PTE_FRAME_HI, PTE_NX_HI, PTE_P, PTE_PS, PTE_U, PTE_W } from "../paging.ts";
import type { ListEnd, Listing, MemoryMap } from "../process.ts";

const ENTRIES = 512;
const USER_ENTRIES = 256;

/** The user half's runs of present pages, by address. */
export function userPageRuns(space: AddressSpace, limit: number = MAX_LISTING): Listing<MemoryMap> {
  const runs = new RunReader(space, limit);
  runs.table(space.rootFrame, space.paging.levels === 5 ? 48 : 39, 0, PTE_W | PTE_U, 0);
  return { items: runs.items, end: runs.end };
}

class RunReader {
  readonly items: MemoryMap[] = [];
  end: ListEnd = { complete: true };
  readonly #space: AddressSpace;
  readonly #limit: number;
  readonly #topShift: number;
  #left = MAX_KERNEL_PLACES;

  constructor(space: AddressSpace, limit: number) {
    this.#space = space;
    this.#limit = limit;
    this.#topShift = space.paging.levels === 5 ? 48 : 39;
  }

  /** Reads one table; the entries that it may read in all are counted, whatever the tables name. */
  table(frame: number, shift: number, base: number, allow: number, forbid: number): void {
    const entries = shift === this.#topShift ? USER_ENTRIES : ENTRIES;
    for (let i = 0; i < entries && this.end.complete; i++) {
      const address = base + i * 2 ** shift;
      if (--this.#left < 0) {
        this.end = { complete: false, reason: "too-many", at: address };
        return;
      }
      const { memory } = this.#space;
      if (!memory.locate(frame)) return;
      const lo = memory.words[memory.wordBase + 2 * i] as number;
      const hi = memory.words[memory.wordBase + 2 * i + 1] as number;
      if ((lo & PTE_P) === 0) continue;
      if (shift === 12 || (shift <= 30 && (lo & PTE_PS) !== 0)) {
        this.#page(address, 2 ** shift, allow & lo, forbid | hi);
      } else {
        this.table((hi & PTE_FRAME_HI) << 20 | lo >>> 12, shift - 9, address, allow & lo, forbid | hi);
      }
    }
  }

  #page(start: number, sizeBytes: number, allow: number, forbid: number): void {
    if ((allow & PTE_U) === 0) return;
    const perms = `r${(allow & PTE_W) === 0 ? "-" : "w"}${(forbid & PTE_NX_HI) === 0 ? "x" : "-"}p`;
    const last = this.items[this.items.length - 1];
    if (last !== undefined && last.end === start && last.perms === perms) {
      this.items[this.items.length - 1] = { ...last, end: start + sizeBytes };
    } else if (this.items.length >= this.#limit) {
      this.end = { complete: false, reason: "too-many", at: start };
    } else {
      this.items.push({ start, end: start + sizeBytes, perms, fileOffset: 0, name: "" });
    }
  }
}
