/**
 * Walks Windows' doubly linked lists (LIST_ENTRY) in a running guest: each step checks that the next entry
 * points back, length and cycles are bounded, and the result says how it ended.
 *
 * The list's head is an entry like any other here: the caller knows at which link it began, and skips entries
 * that are not elements.
 * @module
 */
import type { AddressSpace } from "../address_space.ts";
import type { ListEnd } from "../process.ts";

const KERNEL_HALF = -(2 ** 56);
const USER_END = 0x7fff_ffff_0000;
const USER_START = 0x1_0000;

/** Whether a value can be the address of a kernel object: in the kernel half, 8-aligned. NaN is not. */
export function isKernelPointer(value: number): boolean {
  return value < 0 && value >= KERNEL_HALF && value % 8 === 0;
}

/** Whether a value can be the address of something in a user process, 4-aligned. NaN is not. */
export function isUserPointer(value: number): boolean {
  return value >= USER_START && value < USER_END && value % 4 === 0;
}

/** What a list is made of. */
export interface LinkKind {
  /** Whether a value can be the address of a link. */
  readonly isPointer: (value: number) => boolean;
  /** Bytes of a link's pointers: 4 in a 32-bit process. */
  readonly pointerBytes: 4 | 8;
}

/** Lists of the kernel. */
export const KERNEL_LINKS: LinkKind = { isPointer: isKernelPointer, pointerBytes: 8 };
/** Lists of a 64-bit process. */
export const USER_LINKS: LinkKind = { isPointer: isUserPointer, pointerBytes: 8 };
/** Lists of a 32-bit process. */
export const USER32_LINKS: LinkKind = { isPointer: isUserPointer, pointerBytes: 4 };

/**
 * Walks a list from `start` until it comes back there; `start` itself is not visited.
 *
 * @param space the list's address space
 * @param start a link of the list
 * @param kind what its links are
 * @param limit how many links are visited
 * @param visit gets each link; false ends the walk as at a wild pointer
 */
export function walkLinks(
  space: AddressSpace,
  start: number,
  kind: LinkKind,
  limit: number,
  visit: (link: number) => boolean,
): ListEnd {
  const { isPointer, pointerBytes } = kind;
  const load = (base: number, offset: number): number =>
    pointerBytes === 8 ? space.readS64(base, offset) : space.readU32(base, offset);
  const seen = new Set<number>();
  let link = start;
  for (;;) {
    const next = load(link, 0);
    if (next === start) {
      // The last element must be the one that the start points back to.
      return load(start, pointerBytes) === link
        ? { complete: true }
        : { complete: false, reason: "wild-pointer", at: link };
    }
    if (!isPointer(next)) return { complete: false, reason: "wild-pointer", at: link };
    if (seen.has(next)) return { complete: false, reason: "cycle", at: next };
    if (load(next, pointerBytes) !== link) return { complete: false, reason: "wild-pointer", at: next };
    if (seen.size >= limit) return { complete: false, reason: "too-many", at: next };
    seen.add(next);
    if (!visit(next)) return { complete: false, reason: "wild-pointer", at: next };
    link = next;
  }
}
