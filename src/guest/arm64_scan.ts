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
  isFrameNear,
  pageAllows,
  pageForbids,
  tableLimits,
} from "./arm64_walker.ts";
import { PTE_U, PTE_W } from "./paging.ts";
import { PAGE_BYTES } from "./physical_memory.ts";
import type { ScanEnd, ScannedPage } from "./scanned_page.ts";

/** Entries of a frame: a table has one, or several frames, or part of one. */
const ENTRIES = 512;

/** A table that is scanned. */
interface Table {
  /** Its first frame. */
  readonly frame: number;
  /** Where it begins in that, in bytes. */
  readonly offset: number;
  /** Its level, from the root down. */
  readonly level: number;
  /** What the tables above forbid. */
  readonly limits: number;
  readonly kernelHalf: boolean;
}

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
    const [kernelRoot, offset] = [walker.kernelRootFrame, walker.rootOffset];
    const kernel = this.#table(
      { frame: kernelRoot, offset: 0, level: 0, limits: 0, kernelHalf: true },
      -half,
    );
    if (kernel !== undefined || rootFrame === kernelRoot) return kernel ?? "complete";
    return this.#table({ frame: rootFrame, offset, level: 0, limits: 0, kernelHalf: false }, 0) ?? "complete";
  }

  /** Scans a table's entries; undefined when all went through. */
  #table(table: Table, base: number): ScanEnd | undefined {
    const spec = this.#space.paging.table[table.level];
    if (spec === undefined) return undefined;
    const entries = 2 ** spec.indexBits;
    for (let first = 0; first < entries; first += ENTRIES) {
      const end = this.#entries(
        table,
        first,
        Math.min(ENTRIES, entries - first),
        base + first * 2 ** spec.shift,
      );
      if (end !== undefined) return end;
    }
    return undefined;
  }

  /** Scans `count` entries from number `first` on, which one frame has. */
  #entries(table: Table, first: number, count: number, base: number): ScanEnd | undefined {
    const { memory, paging } = this.#space;
    const { level, limits, kernelHalf } = table;
    const spec = paging.table[level];
    if (spec === undefined || !memory.locate(table.frame + first / ENTRIES)) return undefined;
    const span = 2 ** spec.shift;
    const words = memory.words;
    const at = memory.wordBase + table.offset / 4;
    const bottom = level === paging.table.length - 1;
    const granule = -(1 << (paging.granuleShift - 12));
    for (let index = 0, gva = base; index < count; index++, gva += span) {
      if (gva >= this.#to) return undefined;
      if (gva + span <= this.#from) continue;
      if (this.#left-- <= 0) return "too-many";
      const lo = words[at + 2 * index] as number;
      const hi = words[at + 2 * index + 1] as number;
      if ((lo & DESC_VALID) === 0 || !isFrameNear(paging, hi, lo)) continue;
      const target = (hi & DESC_FRAME_HI) << 20 | lo >>> 12;
      const isTable = (lo & DESC_TABLE) !== 0;
      if (!isTable && (bottom || !spec.mayBePage)) continue;
      if (isTable && !bottom) {
        const below = {
          frame: target & granule,
          offset: 0,
          level: level + 1,
          limits: limits | tableLimits(hi),
          kernelHalf,
        };
        const end = this.#table(below, gva);
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
