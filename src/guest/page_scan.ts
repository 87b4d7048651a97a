/**
 * All mapped pages of an address space, table by table: each table is read once, and branches that are not
 * present are skipped.
 *
 * Used for reverse look-ups (which addresses map a physical page), searches, and lists of what a process has
 * mapped without asking its system. A hostile guest can make tables that refer to themselves at every level:
 * the number of entries that are read is bounded.
 * @module
 */
import { MAX_SCAN_ENTRIES } from "../base/limits.ts";
import type { AddressSpace } from "./address_space.ts";
import { Arm64Scan } from "./arm64_scan.ts";
import type { ScanEnd, ScannedPage } from "./scanned_page.ts";
import { PTE_FRAME_HI, PTE_NX_HI, PTE_P, PTE_PS, PTE_U, PTE_W } from "./paging.ts";
import { PAGE_BYTES } from "./physical_memory.ts";

export type { ScanEnd, ScannedPage };

const ENTRIES = 512;

/**
 * Calls `visit` with each mapped page whose address lies in [from, to), lowest first (as signed numbers: the
 * user half after the kernel half).
 *
 * @param space the address space
 * @param from first address, signed
 * @param to first address past the range, signed
 * @param visit gets each page; true stops the scan
 */
export function scanPages(
  space: AddressSpace,
  from: number,
  to: number,
  visit: (page: ScannedPage) => boolean | void,
): ScanEnd {
  const scan = space.paging.architecture === "aarch64" ? Arm64Scan : PageScan;
  return new scan(space, from, to, visit).run();
}

/**
 * The addresses of a range that map a physical page.
 *
 * @param space the address space
 * @param gpa the physical address; the results have the same offset within their page
 * @param from first address, signed
 * @param to first address past the range, signed
 * @param limit maximum number of results
 */
export function reverseLookup(
  space: AddressSpace,
  gpa: number,
  from: number,
  to: number,
  limit = 64,
): { readonly addresses: readonly number[]; readonly end: ScanEnd } {
  const wanted = Math.floor(gpa / PAGE_BYTES);
  const addresses: number[] = [];
  const end = scanPages(space, from, to, (page) => {
    const first = page.frame;
    if (wanted >= first && wanted < first + page.sizeBytes / PAGE_BYTES) {
      addresses.push(page.gva + (gpa - first * PAGE_BYTES));
    }
    return addresses.length >= limit;
  });
  return { addresses, end };
}

/** One scan of x86-64's tables in progress. */
class PageScan {
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

  constructor(space: AddressSpace, from: number, to: number, visit: (page: ScannedPage) => boolean | void) {
    this.#space = space;
    this.#from = from;
    this.#to = to;
    this.#visit = visit;
  }

  run(): ScanEnd {
    const { rootFrame, paging } = this.#space;
    const half = 2 ** (paging.addressBits - 1);
    // The kernel half is negative: its 256 entries come first in signed order.
    return this.#half(rootFrame, 256, -half) ?? this.#half(rootFrame, 0, 0) ?? "complete";
  }

  #half(frame: number, first: number, gva: number): ScanEnd | undefined {
    return this.#table(frame, 0, gva, first, first + 256, PTE_W | PTE_U, 0);
  }

  /**
   * Scans a table's entries; undefined when all were scanned. Separate arguments instead of an object, which
   * would be allocated per table.
   */
  #table(
    frame: number,
    level: number,
    base: number,
    first: number,
    last: number,
    allow: number,
    forbid: number,
  ): ScanEnd | undefined {
    const { memory, paging } = this.#space;
    const spec = paging.table[level];
    if (spec === undefined || !memory.locate(frame)) return undefined;
    const span = 2 ** spec.shift;
    const words = memory.words;
    const at = memory.wordBase;
    const bottom = level === paging.table.length - 1;
    for (let index = first, gva = base; index < last; index++, gva += span) {
      if (gva >= this.#to) return undefined;
      if (gva + span <= this.#from) continue;
      if (this.#left-- <= 0) return "too-many";
      const lo = words[at + 2 * index] as number;
      const hi = words[at + 2 * index + 1] as number;
      if ((lo & PTE_P) === 0 || (hi & PTE_FRAME_HI) >= 0x800) continue;
      const target = (hi & PTE_FRAME_HI) << 20 | lo >>> 12;
      const allowed = allow & lo;
      const forbidden = forbid | hi & PTE_NX_HI;
      if (bottom || (lo & PTE_PS) !== 0) {
        if (!bottom && (!spec.mayBePage || (lo & spec.reservedInPage) !== 0)) continue;
        // Bit 12 of a large page's entry is PAT.
        if (this.#show(gva, bottom ? target : target & ~1, span, allowed, forbidden)) return "stopped";
        continue;
      }
      const end = this.#table(target, level + 1, gva, 0, ENTRIES, allowed, forbidden);
      if (end !== undefined) return end;
    }
    return undefined;
  }

  #show(gva: number, frame: number, sizeBytes: number, allowed: number, forbidden: number): boolean {
    const page = this.#page;
    page.gva = gva;
    page.frame = frame;
    page.sizeBytes = sizeBytes;
    page.writable = (allowed & PTE_W) !== 0;
    page.user = (allowed & PTE_U) !== 0;
    page.executable = forbidden === 0;
    return this.#visit(page) === true;
  }
}

/** The whole user half of a paging mode, as a range for {@linkcode scanPages}. */
export function userHalf(space: AddressSpace): { readonly from: number; readonly to: number } {
  return { from: 0, to: 2 ** (space.paging.addressBits - 1) };
}

/** The whole kernel half, from its lowest (most negative) address to 0. */
export function kernelHalf(space: AddressSpace): { readonly from: number; readonly to: number } {
  return { from: -(2 ** (space.paging.addressBits - 1)), to: 0 };
}
