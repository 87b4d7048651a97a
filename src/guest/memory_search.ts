/**
 * Search of an address space for a run of bytes: mapped pages only, held pages only, in order of address,
 * matches across page borders included.
 *
 * A hole reads as zeros and is not touched; a pattern of zeros alone is searched in held pages only.
 * @module
 */
import { assert } from "../base/assert.ts";
import { MAX_SEARCH_PATTERN_BYTES } from "../base/limits.ts";
import type { AddressSpace } from "./address_space.ts";
import { type ScanEnd, scanPages } from "./page_scan.ts";
import { Needle } from "./needle.ts";
import { PAGE_BYTES } from "./physical_memory.ts";

/** Where a pattern was found. */
export interface SearchResult {
  /** Addresses of its first bytes, in order. */
  readonly addresses: readonly number[];
  /** "stopped" when the limit was reached. */
  readonly end: ScanEnd;
}

/**
 * Finds a pattern.
 *
 * @param space the address space
 * @param pattern what to look for, 1 to {@linkcode MAX_SEARCH_PATTERN_BYTES} bytes
 * @param from first address, signed
 * @param to first address past the range, signed
 * @param limit how many matches at most
 */
export function searchMemory(
  space: AddressSpace,
  pattern: Uint8Array,
  from: number,
  to: number,
  limit = 1024,
): SearchResult {
  assert(
    pattern.length >= 1 && pattern.length <= MAX_SEARCH_PATTERN_BYTES,
    "a search pattern has a legal size",
  );
  const addresses: number[] = [];
  const needle = new Needle(pattern);
  const keep = pattern.length - 1;
  const isFull = (first: number): boolean => {
    if (first >= from && first + pattern.length <= to) addresses.push(first);
    return addresses.length >= limit;
  };
  // The end of one page and the start of the next: a match may lie across the border.
  const border = new Uint8Array(2 * keep);
  let next = NaN;
  const { memory } = space;
  const end = scanPages(space, from, to, (page) => {
    for (let i = 0; i < page.sizeBytes / PAGE_BYTES; i++) {
      const gva = page.gva + i * PAGE_BYTES;
      if (gva + PAGE_BYTES <= from || gva >= to) continue;
      const frame = page.frame + i;
      if (!memory.isHeld(frame) || !memory.locate(frame)) {
        next = NaN;
        continue;
      }
      const bytes = memory.locatedBytes(frame);
      const start = memory.wordBase * 4;
      const past = start + PAGE_BYTES;
      if (gva === next && keep > 0) {
        border.set(bytes.subarray(start, start + keep), keep);
        let at = -1;
        while ((at = needle.find(border, at + 1, border.length)) >= 0) {
          if (isFull(gva - keep + at)) return true;
        }
      }
      let at = start - 1;
      while ((at = needle.find(bytes, at + 1, past)) >= 0) if (isFull(gva + at - start)) return true;
      if (keep > 0) border.set(bytes.subarray(past - keep, past));
      next = gva + PAGE_BYTES;
    }
    return false;
  });
  return { addresses, end };
}
