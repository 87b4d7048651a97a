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
  const keep = pattern.length - 1;
  // The tail of the page before stands in front of each page, so that a match may cross the border.
  const window = new Uint8Array(keep + PAGE_BYTES);
  let tail = 0;
  let next = NaN;
  const end = scanPages(space, from, to, (page) => {
    for (let i = 0; i < page.sizeBytes / PAGE_BYTES; i++) {
      const gva = page.gva + i * PAGE_BYTES;
      if (gva + PAGE_BYTES <= from || gva >= to) continue;
      if (gva !== next) tail = 0;
      if (
        !space.memory.isHeld(page.frame + i) ||
        !space.memory.copyPage(page.frame + i, 0, window, tail, PAGE_BYTES)
      ) {
        next = NaN;
        continue;
      }
      const size = tail + PAGE_BYTES;
      for (let at = indexOf(window, size, pattern, 0); at >= 0; at = indexOf(window, size, pattern, at + 1)) {
        const found = gva - tail + at;
        if (found < from || found + pattern.length > to) continue;
        addresses.push(found);
        if (addresses.length >= limit) return true;
      }
      tail = Math.min(keep, size);
      window.copyWithin(0, size - tail, size);
      next = gva + PAGE_BYTES;
    }
    return false;
  });
  return { addresses, end };
}

/** First index >= `start` of a pattern that lies wholly in the first `size` bytes, or -1. */
function indexOf(bytes: Uint8Array, size: number, pattern: Uint8Array, start: number): number {
  const first = pattern[0] as number;
  for (
    let at = bytes.indexOf(first, start);
    at >= 0 && at + pattern.length <= size;
    at = bytes.indexOf(first, at + 1)
  ) {
    let same = 1;
    while (same < pattern.length && bytes[at + same] === pattern[same]) same++;
    if (same === pattern.length) return at;
  }
  return -1;
}
