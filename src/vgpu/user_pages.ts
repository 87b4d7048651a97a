/**
 * Goes through the pages that a process may write, by runs of its page tables: absent tables are skipped
 * whole, one walk serves up to 512 pages. It can stop after a number of pages and go on later from an
 * address, so that a large address space is looked through in slices.
 *
 * It reads page tables and nothing else. A table that is full of itself is as bounded as any other: the user
 * half has an end, and a slice has one.
 * @module
 */
import type { AddressSpace } from "../guest/address_space.ts";
import { PTE_FRAME_HI, PTE_P, PTE_PS, PTE_U, PTE_W } from "../guest/paging.ts";
import { userHalfBytes } from "./guest_region.ts";

const WANTED = PTE_P | PTE_W | PTE_U;

/** Told about runs of page-table entries or large pages. */
export interface UserPageVisitor {
  /**
   * A page that user mode may write.
   *
   * @param frame its frame number
   * @param gva its address
   */
  page(frame: number, gva: number): void;
}

/** A look through one process's user half. */
export class UserPages {
  /** Where the look goes on; the end of the user half when it is through. */
  next = 0;
  readonly #space: AddressSpace;
  readonly #end: number;

  /**
   * A look from address 0 on; nothing is read yet.
   *
   * @param space the process's address space; borrowed
   */
  constructor(space: AddressSpace) {
    this.#space = space;
    this.#end = userHalfBytes(space);
  }

  /** Whether all was looked at. */
  get done(): boolean {
    return this.next >= this.#end;
  }

  /**
   * Looks at some more pages.
   *
   * @param budget how many table entries and pages at most, roughly: a table that was begun is finished
   * @param visitor told about each page
   * @returns how many entries and pages were looked at
   */
  step(budget: number, visitor: UserPageVisitor): number {
    let spent = 0;
    while (spent < budget && this.next < this.#end) spent += this.#table(visitor);
    return spent;
  }

  /** Descends to what is mapped at {@linkcode next} and takes all of that table, or skips what is absent. */
  #table(visitor: UserPageVisitor): number {
    const { memory, paging, rootFrame } = this.#space;
    const gva = this.next;
    const levels = paging.table;
    let table = rootFrame;
    for (let level = 0; level < levels.length; level++) {
      const shift = (levels[level] as { shift: number }).shift;
      const size = 2 ** shift;
      if (!memory.locate(table)) return this.#skip(size * 512);
      const words = memory.words;
      const index = Math.floor(gva / size) % 512;
      if (level === levels.length - 1) return this.#pages(words, memory.wordBase, index, gva, visitor);
      let at = memory.wordBase + 2 * index;
      const lo = words[at] as number;
      const hi = (words[at + 1] as number) & PTE_FRAME_HI;
      if ((lo & WANTED) !== WANTED || hi >= 0x800) {
        // Absent neighbours go at once: a sparse half is mostly this.
        let n = 1;
        while (index + n < 512 && ((words[at += 2] as number) & WANTED) !== WANTED) n++;
        this.#advance(size, n);
        return n >>> 5 | 1;
      }
      const frame = hi << 20 | lo >>> 12;
      if ((lo & PTE_PS) !== 0) {
        if (levels[level]?.mayBePage !== true) return this.#skip(size);
        return this.#large(frame, size, visitor);
      }
      table = frame;
    }
    return this.#skip(levels[0] === undefined ? this.#end : 2 ** 12);
  }

  #pages(words: Int32Array, wordBase: number, from: number, gva: number, visitor: UserPageVisitor): number {
    let at = wordBase + 2 * from;
    let address = gva;
    for (let index = from; index < 512; index++, at += 2, address += 4096) {
      const lo = words[at] as number;
      if ((lo & WANTED) !== WANTED) continue;
      const hi = (words[at + 1] as number) & PTE_FRAME_HI;
      if (hi < 0x800) visitor.page(hi << 20 | lo >>> 12, address);
    }
    this.next = address;
    return 512 - from;
  }

  /** All 4 KiB pieces of a large page, from where the look is: a region may start at any of them. */
  #large(frame: number, size: number, visitor: UserPageVisitor): number {
    const pieces = size / 4096;
    const base = frame & ~(pieces - 1);
    const start = Math.floor(this.next / size) * size;
    // A slice of a 1 GiB page is no larger than one of a 2 MiB page.
    const first = (this.next - start) / 4096;
    const stop = Math.min(pieces, first + 512);
    for (let i = first; i < stop; i++) visitor.page(base + i, start + i * 4096);
    this.next = start + stop * 4096;
    return stop - first;
  }

  #advance(size: number, n: number): void {
    this.next = (Math.floor(this.next / size) + n) * size;
  }

  #skip(size: number): number {
    this.#advance(size, 1);
    return 1;
  }
}
