/**
 * The page walk: one address at a time, numbers only.
 *
 * An address is two int32 halves and the result a frame number (or a negative {@linkcode WALK} code), because an int32 is
 * never boxed: a walk makes no garbage even where the engine does not inline it. Large pages give the frame of the 4 KiB
 * piece that was asked for. A walk is bounded by its levels, whatever the tables hold: a table that names itself is legal
 * and ends after as many steps as any other.
 *
 * It keeps no cache: the guest changes its tables while we look, and a cache on RAM in this process has been measured
 * slower than none (memflow). A batch has its own, for the time of the batch: see scatter.ts.
 * @module
 */
import type { Paging } from "./paging.ts";
import { PTE_FRAME_HI, PTE_NX_HI, PTE_P, PTE_PS, PTE_U, PTE_W, WALK } from "./paging.ts";
import type { PhysicalMemory } from "./physical_memory.ts";

/** Walks the tables of one paging mode. Its fields tell about the last walk. */
export class Walker {
  /** The paging mode. */
  readonly paging: Paging;
  /** After a walk: bits of the page's size (12, 21, 30), or of the level at which it failed. */
  shift = 12;
  /** After a walk that ended at an entry: its low half. */
  entryLo = 0;
  /** After a walk that ended at an entry: its high half. */
  entryHi = 0;
  /** After a walk: frame of the table that holds that entry. */
  tableFrame = 0;
  /** After a walk: what all levels together allow, in PTE_W and PTE_U of the low half. */
  allowLo = 0;
  /** After a walk: PTE_NX_HI when some level forbids execution. */
  forbidHi = 0;

  readonly #memory: PhysicalMemory;
  readonly #shifts: Int32Array;
  readonly #reserved: Int32Array;
  readonly #pages: Int32Array;
  readonly #canonicalShift: number;

  /**
   * A walker for one paging mode.
   *
   * @param memory the guest's RAM
   * @param paging the paging mode
   */
  constructor(memory: PhysicalMemory, paging: Paging) {
    this.#memory = memory;
    this.paging = paging;
    this.#shifts = Int32Array.from(paging.table, (level) => level.shift);
    this.#reserved = Int32Array.from(paging.table, (level) => level.reservedInPage);
    this.#pages = Int32Array.from(paging.table, (level) => level.mayBePage ? 1 : 0);
    this.#canonicalShift = paging.addressBits - 33;
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
    const sign = hi >> this.#canonicalShift;
    if (sign !== 0 && sign !== -1) return WALK.nonCanonical;
    const memory = this.#memory;
    const views = memory.views;
    const firstFrame = memory.firstFrame;
    const shifts = this.#shifts;
    const last = shifts.length - 1;
    let table = rootFrame;
    let allow = PTE_W | PTE_U;
    let forbid = 0;
    for (let level = 0; level <= last; level++) {
      const shift = shifts[level] as number;
      const index = shift >= 39
        ? hi >>> (shift - 32) & 511
        : shift === 30
        ? (hi << 2 | lo >>> 30) & 511
        : lo >>> shift & 511;
      const gib = table >>> 18;
      let words = views[gib] as Int32Array;
      let at = (((table & 0x3_ffff) - (firstFrame[gib] as number)) << 10) + (index << 1);
      if (at < 0 || at >= words.length) {
        if (!memory.locate(table)) return this.#stop(WALK.outOfRam, shift, 0, 0, table);
        words = memory.words;
        at = memory.wordBase + (index << 1);
      }
      const entryLo = words[at] as number;
      const entryHi = words[at + 1] as number;
      if ((entryLo & PTE_P) === 0) return this.#stop(WALK.notPresent, shift, entryLo, entryHi, table);
      allow &= entryLo;
      forbid |= entryHi;
      // Frames are int32: what lies past 8 TiB is no RAM that we know.
      if ((entryHi & PTE_FRAME_HI) >= 0x800) return this.#stop(WALK.outOfRam, shift, entryLo, entryHi, table);
      const frame = (entryHi & PTE_FRAME_HI) << 20 | entryLo >>> 12;
      if (level === last || (entryLo & PTE_PS) !== 0) {
        if (
          level !== last &&
          ((this.#pages[level] as number) === 0 || (entryLo & (this.#reserved[level] as number)) !== 0)
        ) {
          return this.#stop(WALK.reserved, shift, entryLo, entryHi, table);
        }
        this.shift = shift;
        this.entryLo = entryLo;
        this.entryHi = entryHi;
        this.tableFrame = table;
        this.allowLo = allow;
        this.forbidHi = forbid & PTE_NX_HI;
        if (level === last) return frame;
        const small = (1 << (shift - 12)) - 1;
        return frame & ~small | (shift === 30 ? lo >>> 12 & 0x3_ffff : lo >>> 12 & 0x1ff);
      }
      table = frame;
    }
    return WALK.notPresent;
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
