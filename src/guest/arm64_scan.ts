/**
 * All mapped pages of an arm64 address space, table by table: what page_scan.ts does for x86-64. The kernel
 * half's table is the kernel's own root, the user half's the space's; a space whose root is the kernel's has
 * no user half.
 * @module
 */
import { MAX_SCAN_ENTRIES } from "../base/limits.ts";
import type { AddressSpace } from "./address_space.ts";
import {
  DESC_FRAME_HI,
  DESC_TABLE,
  DESC_VALID,
  pageAllows,
  pageForbids,
  tableLimits,
} from "./arm64_walker.ts";
import { PTE_U, PTE_W } from "./paging.ts";
import { PAGE_BYTES } from "./physical_memory.ts";
import type { ScanEnd, ScannedPage } from "./scanned_page.ts";

const ENTRIES = 512;

/** One scan in progress; see `scanPages`. */
export class Arm64Scan {
  readonly #space: AddressSpace;
  readonly #from: number;
  readonly #to: number;
  readonly #visit: (page: ScannedPage) => boolean | void;
  readonly #page: ScannedPage = {
    gva: 0,
    frame: 0,
    sizeBytes: 0,
    writable: false,
    user: false,
    executable: false,
  };
  #left = MAX_SCAN_ENTRIES;

  /**
   * A scan; nothing is read yet.
   *
   * @param space the address space
   * @param from first address, signed
   * @param to first address past the range, signed
   * @param visit gets each page; true stops the scan
   */
  constructor(space: AddressSpace, from: number, to: number, visit: (page: ScannedPage) => boolean | void) {
    this.#space = space;
    this.#from = from;
    this.#to = to;
    this.#visit = visit;
  }

  /** Scans. */
  run(): ScanEnd {
    const { rootFrame, paging, walker } = this.#space;
    const half = 2 ** (paging.addressBits - 1);
    const kernel = this.#table(walker.kernelRootFrame, 0, -half, 0, true);
    if (kernel !== undefined || rootFrame === walker.kernelRootFrame) return kernel ?? "complete";
    return this.#table(rootFrame, 0, 0, 0, false) ?? "complete";
  }

  /** Scans a table's entries; undefined when all went through. */
  #table(
    frame: number,
    level: number,
    base: number,
    limits: number,
    kernelHalf: boolean,
  ): ScanEnd | undefined {
    const { memory, paging } = this.#space;
    const spec = paging.table[level];
    if (spec === undefined || !memory.locate(frame)) return undefined;
    const span = 2 ** spec.shift;
    const words = memory.words;
    const at = memory.wordBase;
    const bottom = level === paging.table.length - 1;
    for (let index = 0, gva = base; index < ENTRIES; index++, gva += span) {
      if (gva >= this.#to) return undefined;
      if (gva + span <= this.#from) continue;
      if (this.#left-- <= 0) return "too-many";
      const lo = words[at + 2 * index] as number;
      const hi = words[at + 2 * index + 1] as number;
      if ((lo & DESC_VALID) === 0 || (hi & DESC_FRAME_HI) >= 0x800) continue;
      const target = (hi & DESC_FRAME_HI) << 20 | lo >>> 12;
      const isTable = (lo & DESC_TABLE) !== 0;
      if (!isTable && (bottom || !spec.mayBePage)) continue;
      if (isTable && !bottom) {
        const end = this.#table(target, level + 1, gva, limits | tableLimits(hi), kernelHalf);
        if (end !== undefined) return end;
        continue;
      }
      const page = this.#page;
      const allowed = pageAllows(lo, hi, limits);
      page.gva = gva;
      page.frame = target & ~(span / PAGE_BYTES - 1);
      page.sizeBytes = span;
      page.writable = (allowed & PTE_W) !== 0;
      page.user = (allowed & PTE_U) !== 0;
      page.executable = pageForbids(hi, limits, kernelHalf) === 0;
      if (this.#visit(page) === true) return "stopped";
    }
    return undefined;
  }
}
