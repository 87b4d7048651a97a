/**
 * The interface of page walkers for all architectures: there is one for x86-64 (walker.ts) and one for arm64
 * (arm64_walker.ts), chosen once per address space (walkers.ts), so that a process that reads guests of one
 * architecture only runs one of them.
 *
 * Results are the same for all: permissions are given in x86-64's bits ({@linkcode PageWalker.allowLo},
 * {@linkcode PageWalker.forbidHi}), entries as they are in the guest.
 * @module
 */
import type { Paging } from "./paging.ts";

/**
 * Walks the tables of one paging mode. Its fields describe the last {@linkcode PageWalker.explain}, or the
 * last walk that failed.
 */
export interface PageWalker {
  /** The paging mode. */
  readonly paging: Paging;
  /** Bits of the page's size (12, 14, 16, 21, …), or of the level at which it failed. */
  readonly shift: number;
  /** Low half of the entry at which it ended. */
  readonly entryLo: number;
  /** High half of that entry. */
  readonly entryHi: number;
  /** Frame of the table that holds that entry. */
  readonly tableFrame: number;
  /** What all levels together allow, in PTE_W and PTE_U of the low half. */
  readonly allowLo: number;
  /** PTE_NX_HI when some level forbids execution. */
  forbidHi: number;
  /**
   * Root of the kernel half where the architecture has one apart (arm64's TTBR1); -1 where one root serves
   * both halves.
   */
  kernelRootFrame: number;
  /**
   * Where in its frame a root begins, in bytes: other than 0 only of the lower half of a mode whose first
   * table is smaller than a page.
   */
  rootOffset: number;
  /** Words of the linear view, for {@linkcode PageWalker.regular}; 0 where there is no regular case. */
  readonly regularWords: number;
  /** Translates one address: the frame number of its 4 KiB page, or a negative WALK code. */
  walk(rootFrame: number, hi: number, lo: number): number;
  /** The same when all is regular; a negative number says only that it is not. */
  regular(table: number, hi: number, lo: number, end: number): number;
  /** Translates one address, and describes the page or the failure in the fields. */
  explain(rootFrame: number, hi: number, lo: number): number;
}

/** Whether the regular case can index a root table: an int32 holds word indexes below 8 GiB, others wrap. */
export function isRegularRoot(rootFrame: number): boolean {
  return rootFrame < 0x20_0000;
}

/**
 * What stands behind an entry that is not present: Linux keeps pages that nobody may touch, Windows pages in
 * transition and prototype entries. The level of the entry is told by its first address bit, `shift`.
 *
 * @returns the frame number of the 4 KiB page, or a negative WALK code
 */
export type SoftwarePage = (
  entryHi: number,
  entryLo: number,
  hi: number,
  lo: number,
  shift: number,
) => number;
