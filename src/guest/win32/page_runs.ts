/**
 * A process's mappings from its page tables: the pages present in the user half, with adjacent pages of equal
 * permissions merged. Used if the kernel's own tree of ranges is not understood; it shows no files, and
 * nothing that is paged out.
 * @module
 */
import { MAX_LISTING } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import { scanPages } from "../page_scan.ts";
import type { ListEnd, Listing, MemoryMap } from "../process.ts";

/** The user half's runs of present pages, by address. */
export function userPageRuns(space: AddressSpace, limit: number = MAX_LISTING): Listing<MemoryMap> {
  const items: MemoryMap[] = [];
  let start = 0;
  let end = 0;
  let perms = "";
  const close = (): void => {
    if (end > start) items.push({ start, end, perms, fileOffset: 0, name: "" });
  };
  const how = scanPages(space, 0, 2 ** (space.paging.addressBits - 1), (page) => {
    if (!page.user) return false;
    const allowed = `r${page.writable ? "w" : "-"}${page.executable ? "x" : "-"}p`;
    if (page.gva !== end || allowed !== perms) {
      close();
      start = page.gva;
      perms = allowed;
    }
    end = page.gva + page.sizeBytes;
    return items.length >= limit;
  });
  if (how === "complete") {
    close();
    return { items, end: { complete: true } };
  }
  const cut: ListEnd = { complete: false, reason: "too-many", at: start };
  return { items, end: cut };
}
