/**
 * A region in a guest's address space, read under its producer's own root.
 *
 * A slot's pages are translated once and their runs kept: a 4K frame is 8,100 pages, and walking to each for
 * each frame would cost as much as a good part of the copy. What is kept is proved after every copy by
 * reading the page tables again, table by table (one walk and up to 512 neighbouring entries), and comparing
 * frame numbers: a frame that was copied through a stale translation is never taken for valid. The guest's
 * kernel moves pages (compaction, huge pages, swap) whenever it likes.
 *
 * A page that the host does not hold, or that is not mapped here (RAM behind a file that is read by calls),
 * is copied at each look; nothing is kept of it.
 * @module
 */
import type { AddressSpace } from "../guest/address_space.ts";
import { PTE_FRAME_HI, PTE_P } from "../guest/paging.ts";
import { PAGE_BYTES, type PhysicalMemory } from "../guest/physical_memory.ts";
import type { RegionMemory, SlotSpan } from "./region_memory.ts";

const HIGH = 2 ** 32;
const PAGE_WORDS = PAGE_BYTES / 4;
/** Frame bits of an entry's high half that no RAM of ours has: past 8 TiB. */
const PAST_RAM = PTE_FRAME_HI & ~0x7ff;
const NO_WORDS = new Int32Array(0);

/** A region at an address of a guest's process. */
export class GuestRegion implements RegionMemory {
  readonly gva: number;
  readonly root: number;
  readonly roomBytes: number;
  words: Int32Array = NO_WORDS;
  wordBase = 0;
  readonly #space: AddressSpace;
  readonly #spans: (GuestSpan | undefined)[] = [];
  readonly #own: Int32Array<ArrayBuffer> = new Int32Array(PAGE_WORDS);

  /**
   * A region's memory; nothing is read yet.
   *
   * @param space the producer's address space; borrowed
   * @param gva where the region starts, page-aligned, in the user half
   */
  constructor(space: AddressSpace, gva: number) {
    this.#space = space;
    this.gva = gva;
    this.root = space.root;
    this.roomBytes = Math.max(0, userHalfBytes(space) - gva);
  }

  locate(pageOffset: number): boolean {
    const at = this.gva + pageOffset;
    const frame = this.#space.frameAt(Math.floor(at / HIGH) | 0, at | 0);
    if (frame < 0) return false;
    const memory = this.#space.memory;
    if (!memory.locate(frame)) return false;
    if (isMapped(memory, frame) && memory.isHeld(frame)) {
      this.words = memory.words;
      this.wordBase = memory.wordBase;
      return true;
    }
    this.words = this.#own;
    this.wordBase = 0;
    return copyUnmapped(memory, frame, new Uint8Array(this.#own.buffer));
  }

  span(slot: number, offset: number, sizeBytes: number): SlotSpan | undefined {
    const pages = Math.ceil(sizeBytes / PAGE_BYTES);
    const known = this.#spans[slot];
    if (known !== undefined && known.pages >= pages) return known;
    const span = GuestSpan.of(this.#space, this.gva + offset, pages);
    this.#spans[slot] = span === undefined || span.passing ? undefined : span;
    return span;
  }

  forget(slot: number): void {
    this.#spans[slot] = undefined;
  }
}

/** Bytes of the half of the address space that a process may use. */
export function userHalfBytes(space: AddressSpace): number {
  return 2 ** (space.paging.addressBits - 1);
}

/** The kept translation of a run of pages. */
class GuestSpan implements SlotSpan {
  readonly views: readonly Uint8Array[];
  readonly pages: number;
  /** Whether some page was copied when it was looked at: good for one look. */
  readonly passing: boolean;
  readonly #space: AddressSpace;
  readonly #gva: number;
  readonly #frames: Int32Array;

  private constructor(
    space: AddressSpace,
    gva: number,
    frames: Int32Array,
    views: Uint8Array[],
    passing: boolean,
  ) {
    this.#space = space;
    this.#gva = gva;
    this.#frames = frames;
    this.pages = frames.length;
    this.views = views;
    this.passing = passing;
  }

  static of(space: AddressSpace, gva: number, pages: number): GuestSpan | undefined {
    const frames = new Int32Array(pages);
    if (!eachFrame(space, gva, frames, false)) return undefined;
    const memory = space.memory;
    const views: Uint8Array[] = [];
    let passing = false;
    for (let i = 0; i < pages;) {
      const frame = frames[i] as number;
      if (!memory.locate(frame)) return undefined;
      const { words, wordBase } = memory;
      if (!isMapped(memory, frame) || !memory.isHeld(frame)) {
        const page = new Uint8Array(PAGE_BYTES);
        if (!copyUnmapped(memory, frame, page)) return undefined;
        views.push(page);
        passing = true;
        i++;
        continue;
      }
      const room = Math.min(pages - i, (words.length - wordBase) / PAGE_WORDS);
      let n = 1;
      while (n < room && frames[i + n] === frame + n && memory.isHeld(frame + n)) n++;
      views.push(new Uint8Array(words.buffer, words.byteOffset + wordBase * 4, n * PAGE_BYTES));
      i += n;
    }
    return new GuestSpan(space, gva, frames, views, passing);
  }

  intact(): boolean {
    return eachFrame(this.#space, this.#gva, this.#frames, true);
  }
}

/**
 * Goes through the page tables of a run of pages, and either notes each page's frame or compares it with what
 * was noted.
 *
 * @returns false when a page is not mapped, or when it is compared and differs
 */
function eachFrame(space: AddressSpace, gva: number, frames: Int32Array, compare: boolean): boolean {
  const { memory, walker } = space;
  const pages = frames.length;
  for (let i = 0; i < pages;) {
    const address = gva + i * PAGE_BYTES;
    const lo = address | 0;
    const hi = Math.floor(address / HIGH) | 0;
    // Not the fast walk: another walk uses what it leaves in the walker's fields.
    const first = walker.explain(space.rootFrame, hi, lo);
    if (first < 0) {
      // A page that only the guest's own bookkeeping still knows (Windows: in transition).
      const frame = space.frameAt(hi, lo);
      if (frame < 0 || compare && frames[i] !== frame) return false;
      frames[i] = frame;
      i++;
      continue;
    }
    if (walker.shift !== 12) {
      const small = 1 << (walker.shift - 12);
      const n = Math.min(small - (lo >>> 12 & (small - 1)), pages - i);
      for (let k = 0; k < n; k++) {
        if (!compare) frames[i + k] = first + k;
        else if (frames[i + k] !== first + k) return false;
      }
      i += n;
      continue;
    }
    const n = tableRun(memory, walker.tableFrame, lo >>> 12 & 511, frames, i, compare);
    if (n <= 0) return false;
    i += n;
  }
  return true;
}

/**
 * The present entries of one last-level table, from `index` on: how many, or 0 when none or one differs. Its
 * arguments are not an object, which would be allocated per table of every frame.
 */
function tableRun(
  memory: PhysicalMemory,
  table: number,
  index: number,
  frames: Int32Array,
  from: number,
  compare: boolean,
): number {
  if (!memory.locate(table)) return 0;
  const n = Math.min(512 - index, frames.length - from);
  const at = memory.wordBase + 2 * index;
  return compare
    ? compareEntries(memory.words, at, frames, from, n)
    : noteEntries(memory.words, at, frames, from, n);
}

/** Notes the frames of present entries; how many there are, 0 when one lies past all RAM. */
function noteEntries(words: Int32Array, start: number, frames: Int32Array, from: number, n: number): number {
  for (let k = 0, at = start; k < n; k++, at += 2) {
    const lo = words[at] as number;
    const hi = (words[at + 1] as number) & PTE_FRAME_HI;
    if ((lo & PTE_P) === 0) return k;
    if (hi >= 0x800) return 0;
    frames[from + k] = hi << 20 | lo >>> 12;
  }
  return n;
}

/**
 * Compares the frames of present entries; how many there are, 0 when one differs. A loop of its own: it runs
 * after every frame.
 */
function compareEntries(
  words: Int32Array,
  start: number,
  frames: Int32Array,
  from: number,
  n: number,
): number {
  for (let k = 0, at = start; k < n; k++, at += 2) {
    const lo = words[at] as number;
    const hi = words[at + 1] as number;
    if ((lo & PTE_P) === 0) return k;
    if (((hi & PAST_RAM) | ((hi << 20 | lo >>> 12) ^ (frames[from + k] as number))) !== 0) return 0;
  }
  return n;
}

/** Whether a page is mapped here: not so, `memory` gives copies that it fetched some time ago. */
function isMapped(memory: PhysicalMemory, frame: number): boolean {
  const gpa = frame * PAGE_BYTES;
  for (const segment of memory.port.segments) {
    if (gpa >= segment.gpa && gpa < segment.gpa + segment.sizeBytes) return segment.mapped !== undefined;
  }
  return false;
}

/** Copies a page anew: from the source when it is not mapped, zeros when the host does not hold it. */
function copyUnmapped(memory: PhysicalMemory, frame: number, into: Uint8Array<ArrayBuffer>): boolean {
  if (!isMapped(memory, frame)) return memory.port.fetch(frame * PAGE_BYTES, into);
  into.fill(0);
  return true;
}
