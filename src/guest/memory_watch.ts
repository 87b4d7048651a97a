/**
 * Reads many values in one guest's memory repeatedly, and reports those that have changed: 10,000 of them
 * take about half a millisecond.
 *
 * Each distinct page is translated again in each round, in order of virtual addresses, so that its tables are
 * in the cache; if its frame has changed, the values in it are relocated. Then the values are compared in one
 * pass over sorted physical addresses. A value of up to eight bytes within an aligned word is compared in
 * place, and read by one 64-bit load when it differs, so it is never torn; any other is copied, and may be
 * torn.
 *
 * The tables of a process that has ended are soon reused: a change in its memory counts only if the process
 * is still running after the read. A page that the host does not hold reads as zeros and is not touched; a
 * few of them are checked again in each round.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { AddressSpace } from "./address_space.ts";
import type { GuestOs } from "./guest_os.ts";
import { walkFailure } from "./paging.ts";
import { PAGE_BYTES } from "./physical_memory.ts";
import type { Process } from "./process.ts";

/** Pages not held by the host that are checked again in each round. */
const HOLES_ASKED = 16;
/** The order only affects speed: if a guest moves its pages all the time, they are sorted only this often. */
const LOOKS_UNSORTED = 100;
/** A translation that was never made. */
const UNKNOWN_FRAME = -1000;
const ZEROS = new Int32Array(PAGE_BYTES / 4);
/** The value that was last reported. */
const TOLD = { nothing: 0, value: 1, unreadable: 2 } as const;

/** A value to watch. */
export interface Place {
  /** Its address. */
  readonly gva: number;
  /** Its size, bytes. */
  readonly sizeBytes: number;
  /** Its address space; omitted: the kernel's. */
  readonly process?: Process | undefined;
}

/** Receives the changes of a round. `index` is the value's index in the list. */
export interface WatchSink {
  /** A value of up to eight bytes, unsigned. */
  onWord(index: number, value: bigint): void;
  /** A longer value, or one across two words; the bytes belong to the sink. */
  onBytes(index: number, bytes: Uint8Array<ArrayBuffer>): void;
  /** It can no longer be read: "not-present", "out-of-ram", "process-ended", … */
  onUnreadable(index: number, reason: string): void;
}

interface Space {
  readonly space: AddressSpace;
  readonly process: Process | undefined;
  isGone: boolean;
  isToldGone: boolean;
}

/** The watched values of one guest. */
export class MemoryWatch {
  readonly #os: GuestOs;
  readonly #places: readonly Place[];
  readonly #spaces: readonly Space[];
  /** The distinct pages, by space and address. */
  readonly #pageHi: Int32Array;
  readonly #pageLo: Int32Array;
  readonly #pageSpace: Int32Array;
  readonly #frames: Int32Array;
  /** Places by page: those of page i are `byPage` from `first[i]` to `first[i + 1]`. */
  readonly #first: Int32Array;
  readonly #byPage: Int32Array;
  readonly #pageOf: Int32Array;
  /** Where each value is: which view, and the index of its word's low half in it. */
  readonly #view: Int32Array;
  readonly #at: Int32Array;
  readonly #maskLo: Int32Array;
  readonly #maskHi: Int32Array;
  readonly #lastLo: Int32Array;
  readonly #lastHi: Int32Array;
  readonly #told: Uint8Array;
  readonly #views: Int32Array[] = [ZEROS];
  readonly #words: BigInt64Array[] = [new BigInt64Array(ZEROS.buffer)];
  /** Those that are compared in place, by physical address; the others. */
  readonly #order: Int32Array;
  readonly #wide: readonly number[];
  readonly #lastBytes = new Map<number, Uint8Array<ArrayBuffer>>();
  readonly #holes: number[] = [];
  readonly #changed: Int32Array;
  #isSorted = false;
  #looksToSort = 0;

  /**
   * Starts without reading; the first round reports each value.
   *
   * @param os the guest's system
   * @param places where to look
   */
  constructor(os: GuestOs, places: readonly Place[]) {
    this.#os = os;
    this.#places = places;
    const n = places.length;
    const spaces = new Map<number, Space>();
    for (const { process, sizeBytes } of places) {
      assert(Number.isInteger(sizeBytes) && sizeBytes > 0, "a place has bytes");
      const key = process?.object ?? 0;
      if (spaces.has(key)) continue;
      spaces.set(key, {
        space: process === undefined ? os.kernel : os.spaceOf(process),
        process,
        isGone: false,
        isToldGone: false,
      });
    }
    this.#spaces = [...spaces.values()];
    const numbers = new Map([...spaces.keys()].map((key, i) => [key, i]));
    const spaceOf = (index: number) => numbers.get((places[index] as Place).process?.object ?? 0) as number;
    const order = Int32Array.from({ length: n }, (_, i) => i)
      .sort((a, b) =>
        spaceOf(a) - spaceOf(b) || compareAddresses((places[a] as Place).gva, (places[b] as Place).gva)
      );
    const pages: { hi: number; lo: number; space: number; first: number }[] = [];
    this.#byPage = order;
    this.#pageOf = new Int32Array(n);
    order.forEach((index, i) => {
      const { gva } = places[index] as Place;
      const lo = (gva | 0) & ~0xfff;
      const hi = (gva - ((gva | 0) >>> 0)) / 2 ** 32 | 0;
      const space = spaceOf(index);
      const last = pages[pages.length - 1];
      if (last === undefined || last.lo !== lo || last.hi !== hi || last.space !== space) {
        pages.push({ hi, lo, space, first: i });
      }
      this.#pageOf[index] = pages.length - 1;
    });
    this.#pageHi = Int32Array.from(pages, (page) => page.hi);
    this.#pageLo = Int32Array.from(pages, (page) => page.lo);
    this.#pageSpace = Int32Array.from(pages, (page) => page.space);
    this.#first = Int32Array.from([...pages.map((page) => page.first), n]);
    this.#frames = new Int32Array(pages.length).fill(UNKNOWN_FRAME);
    [this.#view, this.#at, this.#maskLo, this.#maskHi, this.#lastLo, this.#lastHi, this.#changed] = Array
      .from({ length: 7 }, () => new Int32Array(n)) as [
        Int32Array,
        Int32Array,
        Int32Array,
        Int32Array,
        Int32Array,
        Int32Array,
        Int32Array,
      ];
    this.#told = new Uint8Array(n);
    const isWide = ({ gva, sizeBytes }: Place) => ((gva | 0) & 7) + sizeBytes > 8;
    this.#wide = [...places.keys()].filter((i) => isWide(places[i] as Place));
    this.#order = order.filter((i) => !isWide(places[i] as Place));
    for (const i of this.#order) this.#setMask(i, places[i] as Place);
  }

  /**
   * Reads every value once, and reports those that differ from the last report.
   *
   * @throws {Fault} `refused` when the memory is no longer complete
   */
  look(sink: WatchSink): void {
    this.#os.kernel.memory.verify();
    this.#translate(sink);
    this.#askHoles();
    if (!this.#isSorted && --this.#looksToSort <= 0) this.#sort();
    const count = this.#compare();
    const isAlive = this.#stillAlive(count);
    for (let i = 0; i < count; i++) {
      const index = this.#changed[i] as number;
      if (isAlive(index)) this.#tell(index, sink);
    }
    for (const index of this.#wide) this.#lookWide(index, sink, isAlive);
    for (const space of this.#spaces) if (space.isGone && !space.isToldGone) this.#tellGone(space, sink);
  }

  /** Checks which processes have ended, whether or not anything changed in them. */
  checkProcesses(): void {
    for (const space of this.#spaces) {
      if (space.process !== undefined && !space.isGone) space.isGone = !this.#os.lives(space.process);
    }
  }

  /** Values whose process has ended. */
  gone(): number[] {
    return [...this.#places.keys()].filter((index) => this.#spaceOf(index).isGone);
  }

  #spaceOf(index: number): Space {
    return this.#spaces[this.#pageSpace[this.#pageOf[index] as number] as number] as Space;
  }

  #setMask(index: number, { gva, sizeBytes }: Place): void {
    const bits = BigInt.asUintN(64, ((1n << BigInt(8 * sizeBytes)) - 1n) << BigInt(((gva | 0) & 7) * 8));
    this.#maskLo[index] = Number(BigInt.asIntN(32, bits));
    this.#maskHi[index] = Number(BigInt.asIntN(32, bits >> 32n));
  }

  #translate(sink: WatchSink): void {
    const frames = this.#frames;
    for (let page = 0; page < frames.length; page++) {
      const { space, isGone } = this.#spaces[this.#pageSpace[page] as number] as Space;
      if (isGone) continue;
      const frame = space.frameAt(this.#pageHi[page] as number, this.#pageLo[page] as number);
      if (frame !== frames[page]) this.#place(page, frame, space, sink);
    }
  }

  /** A page is at another frame than at the last look. */
  #place(page: number, frame: number, space: AddressSpace, sink: WatchSink): void {
    this.#frames[page] = frame;
    this.#isSorted = false;
    const memory = space.memory;
    const isRam = frame >= 0 && memory.locate(frame);
    const isHeld = isRam && memory.isHeld(frame);
    const view = isHeld && memory.locate(frame) ? this.#viewOf(memory.words) : 0;
    const base = view === 0 ? 0 : memory.wordBase;
    if (isRam && !isHeld && !this.#holes.includes(page)) this.#holes.push(page);
    for (let i = this.#first[page] as number; i < (this.#first[page + 1] as number); i++) {
      const index = this.#byPage[i] as number;
      const lo = (this.#places[index] as Place).gva | 0;
      this.#view[index] = view;
      this.#at[index] = base + (lo >>> 2 & 0x3fe);
      if (isRam) {
        // It is reported only when it has changed, and in any case after it could not be read.
        if (this.#told[index] === TOLD.unreadable) this.#told[index] = TOLD.nothing;
      } else this.#tellUnreadable(index, frame < 0 ? walkFailure(frame) : "out-of-ram", sink);
    }
  }

  #viewOf(words: Int32Array): number {
    const known = this.#views.indexOf(words);
    if (known >= 0) return known;
    this.#words.push(new BigInt64Array(words.buffer, words.byteOffset, words.length >>> 1));
    return this.#views.push(words) - 1;
  }

  #askHoles(): void {
    for (let i = Math.min(HOLES_ASKED, this.#holes.length); i > 0; i--) {
      const page = this.#holes.shift() as number;
      const frame = this.#frames[page] as number;
      if (frame < 0) continue;
      const { memory } = this.#os.kernel;
      // Translated again in the next round, and relocated.
      if (memory.isHeld(frame)) this.#frames[page] = UNKNOWN_FRAME;
      else this.#holes.push(page);
    }
  }

  #sort(): void {
    const [view, at] = [this.#view, this.#at];
    this.#order.sort((a, b) =>
      (view[a] as number) - (view[b] as number) || (at[a] as number) - (at[b] as number)
    );
    this.#isSorted = true;
    this.#looksToSort = LOOKS_UNSORTED;
  }

  /** Fills `changed` with those that differ; how many. */
  #compare(): number {
    const order = this.#order;
    const [views, view, at, told] = [this.#views, this.#view, this.#at, this.#told];
    const [maskLo, maskHi, lastLo, lastHi] = [this.#maskLo, this.#maskHi, this.#lastLo, this.#lastHi];
    let count = 0;
    for (let i = 0; i < order.length; i++) {
      const index = order[i] as number;
      const words = views[view[index] as number] as Int32Array;
      const word = at[index] as number;
      const lo = ((words[word] as number) ^ (lastLo[index] as number)) & (maskLo[index] as number);
      const hi = ((words[word + 1] as number) ^ (lastHi[index] as number)) & (maskHi[index] as number);
      const state = told[index];
      // 0: nothing was reported yet; 1: a value was.
      if (state === 0 || (state === 1 && (lo | hi) !== 0)) this.#changed[count++] = index;
    }
    return count;
  }

  /** Whether a value's process is running, checked once for each in which something changed. */
  #stillAlive(count: number): (index: number) => boolean {
    const asked = new Set<Space>();
    const isAlive = (index: number): boolean => {
      const space = this.#spaceOf(index);
      if (space.process !== undefined && !space.isGone && !asked.has(space)) {
        asked.add(space);
        space.isGone = !this.#os.lives(space.process);
      }
      return !space.isGone;
    };
    // Before anything is told: what was read was read before.
    for (let i = 0; i < count; i++) isAlive(this.#changed[i] as number);
    return isAlive;
  }

  #tell(index: number, sink: WatchSink): void {
    if (this.#told[index] === TOLD.unreadable) return;
    const words = this.#words[this.#view[index] as number] as BigInt64Array;
    const word = words[(this.#at[index] as number) >>> 1] as bigint;
    const lo = Number(BigInt.asIntN(32, word));
    const hi = Number(BigInt.asIntN(32, word >> 32n));
    const differs = ((lo ^ (this.#lastLo[index] as number)) & (this.#maskLo[index] as number)) |
      ((hi ^ (this.#lastHi[index] as number)) & (this.#maskHi[index] as number));
    // A torn read, or it has changed back.
    if (differs === 0 && this.#told[index] === TOLD.value) return;
    this.#lastLo[index] = lo;
    this.#lastHi[index] = hi;
    this.#told[index] = TOLD.value;
    const { gva, sizeBytes } = this.#places[index] as Place;
    sink.onWord(index, BigInt.asUintN(8 * sizeBytes, word >> BigInt(8 * ((gva | 0) & 7))));
  }

  #lookWide(index: number, sink: WatchSink, isAlive: (index: number) => boolean): void {
    const { gva, sizeBytes } = this.#places[index] as Place;
    const { space, isGone } = this.#spaceOf(index);
    if (isGone) return;
    const bytes = new Uint8Array(sizeBytes);
    if (space.read(gva, bytes) < sizeBytes) {
      return this.#tellUnreadable(index, walkFailure(space.failure), sink);
    }
    const last = this.#lastBytes.get(index);
    const isNew = this.#told[index] !== TOLD.value || last === undefined ||
      last.some((byte, i) => byte !== bytes[i]);
    if (!isNew || !isAlive(index)) return;
    this.#lastBytes.set(index, bytes);
    this.#told[index] = TOLD.value;
    sink.onBytes(index, bytes.slice());
  }

  #tellUnreadable(index: number, reason: string, sink: WatchSink): void {
    if (this.#told[index] === TOLD.unreadable) return;
    this.#told[index] = TOLD.unreadable;
    sink.onUnreadable(index, reason);
  }

  #tellGone(gone: Space, sink: WatchSink): void {
    gone.isToldGone = true;
    for (let index = 0; index < this.#places.length; index++) {
      if (this.#spaceOf(index) === gone) this.#tellUnreadable(index, "process-ended", sink);
    }
  }
}

/** The upper half stands above the lower one. */
function compareAddresses(a: number, b: number): number {
  return Number(a < 0) - Number(b < 0) || a - b;
}
