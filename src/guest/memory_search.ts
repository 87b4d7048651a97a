/**
 * Searches an address space for a byte pattern: mapped and held pages only, in order of address, including
 * matches across page borders.
 *
 * A hole reads as zeros and is not touched; a pattern of zeros is searched in held pages only. Pages that are
 * adjacent in RAM as well as in the address space are searched as one run, with libc if the source provides
 * it (`RamPort.find`): each separate page costs as much as searching a kilobyte.
 * @module
 */
import { assert } from "../base/assert.ts";
import { MAX_SEARCH_PATTERN_BYTES } from "../base/limits.ts";
import type { AddressSpace } from "./address_space.ts";
import { Needle } from "./needle.ts";
import { type ScanEnd, scanPages } from "./page_scan.ts";
import { PAGE_BYTES, type PhysicalMemory } from "./physical_memory.ts";

/** Size limit of a run: in a larger one, the information about held pages would be too old. */
const MAX_RUN_BYTES = 2 ** 21;
/** Up to this many bytes, copying one by one is faster than a subarray copy. */
const FEW_BYTES = 32;

/** Where a pattern was found. */
export interface SearchResult {
  /** Addresses of its first bytes, in order. */
  readonly addresses: readonly number[];
  /** "stopped" when the limit was reached. */
  readonly end: ScanEnd;
}

/**
 * Searches.
 *
 * @param space the address space
 * @param pattern what to look for, 1 to {@linkcode MAX_SEARCH_PATTERN_BYTES} bytes
 * @param from first address, signed
 * @param to first address past the range, signed
 * @param limit maximum number of matches
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
  const search = new RunSearch(space.memory, pattern, from, to, limit);
  const end = scanPages(space, from, to, (page) => {
    const pages = page.sizeBytes / PAGE_BYTES;
    for (let i = Math.max(0, Math.floor((from - page.gva) / PAGE_BYTES)); i < pages; i++) {
      const gva = page.gva + i * PAGE_BYTES;
      if (gva >= to) break;
      if (search.add(gva, page.frame + i)) return true;
    }
    return false;
  });
  return { addresses: search.addresses, end: search.finish() ? "stopped" : end };
}

/** The current run. */
class RunSearch {
  readonly addresses: number[] = [];
  readonly #memory: PhysicalMemory;
  readonly #pattern: Uint8Array;
  readonly #needle: Needle;
  readonly #from: number;
  readonly #to: number;
  readonly #limit: number;
  /** The end of one run and the beginning of the next, since a match may lie across the border. */
  readonly #border: Uint8Array;
  /** Bytes of a match that may lie on one side of a border. */
  readonly #keep: number;
  /** Whether the first half of the border buffer holds the end of what directly precedes the run. */
  #isJoined = false;
  /** The run: its words, its bytes, its first byte in them, its address, its next address. */
  #words: Int32Array | undefined;
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #gva = 0;
  #next = NaN;

  constructor(memory: PhysicalMemory, pattern: Uint8Array, from: number, to: number, limit: number) {
    this.#memory = memory;
    this.#pattern = pattern;
    this.#needle = new Needle(pattern);
    this.#from = from;
    this.#to = to;
    this.#limit = limit;
    this.#keep = pattern.length - 1;
    this.#border = new Uint8Array(2 * this.#keep);
  }

  /** Adds a page; true when the limit was reached. A page that is not held ends the previous run. */
  add(gva: number, frame: number): boolean {
    const memory = this.#memory;
    if (!memory.isHeld(frame) || !memory.locate(frame)) return this.#close();
    const start = memory.wordBase * 4;
    const isNext = gva === this.#next;
    const sizeBytes = gva - this.#gva;
    if (
      isNext && memory.words === this.#words && start === this.#start + sizeBytes && sizeBytes < MAX_RUN_BYTES
    ) {
      this.#next = gva + PAGE_BYTES;
      return false;
    }
    const isFull = this.#close();
    this.#isJoined = isNext;
    this.#words = memory.words;
    this.#bytes = memory.locatedBytes(frame);
    this.#start = start;
    this.#gva = gva;
    this.#next = gva + PAGE_BYTES;
    return isFull;
  }

  /** Searches the last run; true when the limit was reached. */
  finish(): boolean {
    return this.#close() || this.addresses.length >= this.#limit;
  }

  #close(): boolean {
    if (this.#words === undefined) return false;
    const isFull = this.addresses.length >= this.#limit || this.#searchBorder() || this.#searchRun();
    const past = this.#start + (this.#next - this.#gva);
    copy(this.#bytes, past - this.#keep, this.#border, 0, this.#keep);
    this.#words = undefined;
    this.#next = isFull ? NaN : this.#next;
    return isFull;
  }

  #searchBorder(): boolean {
    if (!this.#isJoined || this.#keep === 0) return false;
    copy(this.#bytes, this.#start, this.#border, this.#keep, this.#keep);
    let at = -1;
    while ((at = this.#needle.find(this.#border, at + 1, this.#border.length)) >= 0) {
      if (this.#isLast(this.#gva - this.#keep + at)) return true;
    }
    return false;
  }

  #searchRun(): boolean {
    const past = this.#start + (this.#next - this.#gva);
    let at = this.#start - 1;
    while ((at = this.#find(at + 1, past)) >= 0) {
      if (this.#isLast(this.#gva + at - this.#start)) return true;
    }
    return false;
  }

  /** First match of the run between two indexes of its bytes, or -1. */
  #find(start: number, past: number): number {
    const { buffer, byteOffset } = this.#bytes;
    const found = this.#memory.port.find?.(buffer, byteOffset + start, past - start, this.#pattern);
    if (found === undefined) return this.#needle.find(this.#bytes, start, past);
    return found < 0 ? -1 : start + found;
  }

  #isLast(first: number): boolean {
    if (first >= this.#from && first + this.#pattern.length <= this.#to) this.addresses.push(first);
    return this.addresses.length >= this.#limit;
  }
}

/** Copies bytes between two arrays. */
function copy(from: Uint8Array, start: number, to: Uint8Array, at: number, length: number): void {
  if (length > FEW_BYTES) {
    to.set(from.subarray(start, start + length), at);
    return;
  }
  for (let i = 0; i < length; i++) to[at + i] = from[start + i] as number;
}
