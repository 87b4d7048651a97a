/**
 * The page walk of x86-64 (arm64_walker.ts has arm64's): one address at a time, numbers only.
 *
 * An address is two int32 halves and the result a frame number (or a negative {@linkcode WALK} code), because
 * an int32 is never boxed: a walk makes no garbage even where the engine does not inline it. Large pages give
 * the frame of the 4 KiB piece that was asked for. A walk is bounded by its levels, whatever the tables hold:
 * a table that names itself is legal and ends after as many steps as any other.
 *
 * There are two of it. {@linkcode Walker.explain} goes by the tables of paging.ts, wherever the RAM is, and
 * tells all about the page or the failure. {@linkcode Walker.walk} first tries the regular case written out:
 * present tables within the linear view, a page of 4 KiB or 2 MiB; whatever else it meets, it leaves to the
 * other. Measured on 64 MiB of scattered pages: 33 ns by the tables with a view a GiB, 10 ns written out; the
 * larger half of that was the engine's inlining limit (460 bytes of bytecode), which is why `regular` is as
 * terse as it is.
 *
 * It keeps no cache: the guest changes its tables while we look, and a cache on RAM in this process has been
 * measured slower than none (memflow). A batch has its own, for the time of the batch: see scatter.ts.
 * @module
 */
import type { Paging } from "./paging.ts";
import { isRegularRoot, type PageWalker } from "./page_walker.ts";
import { PTE_FRAME_HI, PTE_NX_HI, PTE_P, PTE_PS, PTE_U, PTE_W, WALK } from "./paging.ts";
import type { PhysicalMemory } from "./physical_memory.ts";

/** "Not the regular case": no WALK code, never leaves this file. */
const IRREGULAR = -9;

/** A paging mode's levels as the walk reads them. */
interface LevelTables {
  readonly shifts: Int32Array;
  readonly reserved: Int32Array;
  readonly pages: Int32Array;
}

/** Of each paging mode once: a list of processes makes a walker for each. */
const known = new WeakMap<Paging, LevelTables>();

function tablesOf(paging: Paging): LevelTables {
  let tables = known.get(paging);
  if (tables === undefined) {
    tables = {
      shifts: Int32Array.from(paging.table, (level) => level.shift),
      reserved: Int32Array.from(paging.table, (level) => level.reservedInPage),
      pages: Int32Array.from(paging.table, (level) => level.mayBePage ? 1 : 0),
    };
    known.set(paging, tables);
  }
  return tables;
}

/**
 * Walks the tables of one paging mode. Its fields describe the last {@linkcode explain}, or the last walk
 * that failed.
 */
export class Walker implements PageWalker {
  /** The paging mode. */
  readonly paging: Paging;
  /** Bits of the page's size (12, 21, 30), or of the level at which it failed. */
  shift = 12;
  /** Low half of the entry at which it ended. */
  entryLo = 0;
  /** High half of that entry. */
  entryHi = 0;
  /** Frame of the table that holds that entry. */
  tableFrame = 0;
  /** What all levels together allow, in PTE_W and PTE_U of the low half. */
  allowLo = 0;
  /** PTE_NX_HI when some level forbids execution. */
  forbidHi = 0;
  /** One root serves both halves. */
  kernelRootFrame: number = -1;
  /** Roots are pages. */
  rootOffset: number = 0;

  /**
   * Words of the linear view, for {@linkcode regular}; 0 where the regular case does not begin with four
   * levels.
   */
  readonly regularWords: number;

  readonly #memory: PhysicalMemory;
  readonly #shifts: Int32Array;
  readonly #reserved: Int32Array;
  readonly #pages: Int32Array;
  readonly #canonicalShift: number;
  // Plain properties: a private name costs the hot path bytecode, and with it its inlining.
  private readonly linear: Int32Array;
  private readonly five: boolean;

  /**
   * A walker for one paging mode.
   *
   * @param memory the guest's RAM
   * @param paging the paging mode
   */
  constructor(memory: PhysicalMemory, paging: Paging) {
    this.#memory = memory;
    this.paging = paging;
    const tables = tablesOf(paging);
    this.#shifts = tables.shifts;
    this.#reserved = tables.reserved;
    this.#pages = tables.pages;
    this.#canonicalShift = paging.addressBits - 33;
    this.linear = memory.linear;
    this.five = paging.levels === 5;
    this.regularWords = this.five ? 0 : memory.linear.length;
  }

  /**
   * Translates one address.
   *
   * @param rootFrame frame number of the root table
   * @param hi the address's high half, int32
   * @param lo the address's low half, int32
   * @returns the frame number of the 4 KiB page, or a negative {@linkcode WALK} code
   */
  walk(rootFrame: number, hi: number, lo: number): number {
    const frame = this.regular(rootFrame, hi, lo, isRegularRoot(rootFrame) ? this.regularWords : 0);
    return frame >= 0 ? frame : this.#otherwise(rootFrame, hi, lo);
  }

  /**
   * Four levels from `table` on, when all is regular; of a canonical address, or below a fifth level. Entries
   * are 8-aligned, so `| 1` finds the high half without the overflow check of `+ 1`; a frame past 8 GiB (bits
   * 33 and up of an address) is looked at once, at the end.
   *
   * @param table frame number of the table; past 8 GiB its index wraps: {@linkcode isRegularRoot} says no
   * @param hi the address's high half
   * @param lo the address's low half
   * @param end {@linkcode regularWords}
   * @returns the frame number, or a negative number that says only: not regular, ask {@linkcode walk}
   */
  regular(table: number, hi: number, lo: number, end: number): number {
    const words = this.linear;
    let at = table << 10 | hi >>> 6 & 1022;
    regular: if (at < end && hi << 16 >> 16 === hi) {
      let e = words[at] as number;
      let h = words[at | 1] as number;
      let high = h;
      // 0x81: present and PS.
      if ((e & 0x81) !== 1) break regular;
      at = h << 30 | (hi << 3 | lo >>> 29) & 1022 | e >>> 12 << 10;
      if (at >= end) break regular;
      e = words[at] as number;
      h = words[at | 1] as number;
      if ((e & 0x81) !== 1) break regular;
      high |= h;
      at = h << 30 | lo >>> 20 & 1022 | e >>> 12 << 10;
      if (at >= end) break regular;
      e = words[at] as number;
      h = words[at | 1] as number;
      high |= h;
      // A page of 2 MiB, without PAT and reserved bits.
      if ((e & 0x81) !== 1) {
        if (e & 0x1ff081 ^ 0x81 | high & 0xffffe) break regular;
        return h << 20 | e >>> 12 | lo >>> 12 & 511;
      }
      at = h << 30 | lo >>> 11 & 1022 | e >>> 12 << 10;
      if (at >= end) break regular;
      e = words[at] as number;
      h = words[at | 1] as number;
      if ((high | h) & 0xffffe | ~e & 1) break regular;
      return h << 20 | e >>> 12;
    }
    return -9; // IRREGULAR, spelt out: a module's constant costs bytecode
  }

  /** What is not the regular case of four levels: that of five, or anything else. */
  #otherwise(rootFrame: number, hi: number, lo: number): number {
    const frame = this.five ? this.#regular5(rootFrame, hi, lo) : IRREGULAR;
    return frame >= 0 ? frame : this.explain(rootFrame, hi, lo);
  }

  /** The fifth level, then the other four. */
  #regular5(table: number, hi: number, lo: number): number {
    const words = this.linear;
    const end = words.length;
    if (hi << 7 >> 7 !== hi || table >= end >>> 10) return IRREGULAR;
    const at = table << 10 | hi >>> 15 & 1022;
    const e = words[at] as number;
    const h = words[at + 1] as number;
    if ((e & 0x81) !== 1 || (h & 0xffffe) !== 0) return IRREGULAR;
    // The fourth level's index is bits 39 to 47; what is above was the fifth's.
    return this.regular(h << 20 | e >>> 12, hi << 16 >> 16, lo, end);
  }

  /**
   * Translates one address, and describes the page or the failure in its fields.
   *
   * @param rootFrame frame number of the root table
   * @param hi the address's high half, int32
   * @param lo the address's low half, int32
   * @returns the frame number of the 4 KiB page, or a negative {@linkcode WALK} code
   */
  explain(rootFrame: number, hi: number, lo: number): number {
    const sign = hi >> this.#canonicalShift;
    if (sign !== 0 && sign !== -1) {
      return this.#stop(WALK.nonCanonical, this.#shifts[0] as number, 0, 0, rootFrame);
    }
    const memory = this.#memory;
    const last = this.#shifts.length - 1;
    let table = rootFrame;
    let allow = PTE_W | PTE_U;
    let forbid = 0;
    for (let level = 0; level <= last; level++) {
      const shift = this.#shifts[level] as number;
      if (!memory.locate(table)) return this.#stop(WALK.outOfRam, shift, 0, 0, table);
      const at = memory.wordBase + (indexAt(shift, hi, lo) << 1);
      const entryLo = memory.words[at] as number;
      const entryHi = memory.words[at + 1] as number;
      if ((entryLo & PTE_P) === 0) return this.#stop(WALK.notPresent, shift, entryLo, entryHi, table);
      allow &= entryLo;
      forbid |= entryHi;
      const isPage = level === last || (entryLo & PTE_PS) !== 0;
      if (isPage && level !== last && !this.#isLegalPage(level, entryLo)) {
        return this.#stop(WALK.reserved, shift, entryLo, entryHi, table);
      }
      // Frames are int32: what lies past 8 TiB is not RAM that we index.
      if ((entryHi & PTE_FRAME_HI) >= 0x800) return this.#stop(WALK.outOfRam, shift, entryLo, entryHi, table);
      const frame = (entryHi & PTE_FRAME_HI) << 20 | entryLo >>> 12;
      if (isPage) {
        this.#stop(0, shift, entryLo, entryHi, table);
        this.allowLo = allow;
        this.forbidHi = forbid & PTE_NX_HI;
        const small = (1 << (shift - 12)) - 1;
        return frame & ~small | (lo >>> 12 & small);
      }
      table = frame;
    }
    return WALK.notPresent;
  }

  #isLegalPage(level: number, entryLo: number): boolean {
    return this.#pages[level] === 1 && (entryLo & (this.#reserved[level] as number)) === 0;
  }

  #stop(result: number, shift: number, entryLo: number, entryHi: number, table: number): number {
    this.shift = shift;
    this.entryLo = entryLo;
    this.entryHi = entryHi;
    this.tableFrame = table;
    this.allowLo = 0;
    this.forbidHi = 0;
    return result;
  }
}

/** Index into the table whose first address bit is `shift`. */
function indexAt(shift: number, hi: number, lo: number): number {
  if (shift >= 39) return hi >>> (shift - 32) & 511;
  return shift === 30 ? (hi << 2 | lo >>> 30) & 511 : lo >>> shift & 511;
}
