/**
 * A batch of scattered eight-byte reads: one pass over the addresses finds the pages, a second one fetches the words.
 *
 * Shared tables are read once: a small direct-mapped cache keeps, for each 2 MiB that was met, its last-level table (or
 * the large page), and is forgotten when the batch ends, so that no stale translation outlives a call. The two passes are apart because
 * a processor overlaps cache misses only as far as its window reaches: with the table look-up and the data access in one loop body a
 * third fewer misses were under way.
 *
 * Results are two int32 halves an address, and a status byte; nothing is allocated but when a batch is larger than any before.
 * @module
 */
import type { AddressSpace } from "./address_space.ts";
import { PTE_FRAME_HI, PTE_P, WALK } from "./paging.ts";

const SLOT_BITS = 12;
const SLOTS = 1 << SLOT_BITS;
const HIGH = 2 ** 32;

/** Reads batches of one address space. Reusable; not reentrant. */
export class ScatterReader {
  readonly #space: AddressSpace;
  /** Which 2 MiB a slot holds: address bits 21 to 52, and those above. */
  readonly #tagLo = new Int32Array(SLOTS);
  readonly #tagHi = new Int32Array(SLOTS);
  /** The last-level table's frame; or the one's complement of a large page's first frame. */
  readonly #table = new Int32Array(SLOTS);
  readonly #batch = new Int32Array(SLOTS);
  #number = 0;
  #frames = new Int32Array(0);

  /**
   * A reader without state but its buffers.
   *
   * @param space the address space that it reads
   */
  constructor(space: AddressSpace) {
    this.#space = space;
  }

  /**
   * Reads eight bytes at each address.
   *
   * @param addresses where; they need not be aligned, sorted or different
   * @param values receives the low and the high half of each: at least twice as long as `addresses`; 0 where nothing was read
   * @param status receives 0, or a negative WALK code, for each address
   * @returns how many were read
   */
  read(addresses: Float64Array, values: Int32Array, status: Int8Array): number {
    const n = addresses.length;
    if (this.#frames.length < n) this.#frames = new Int32Array(n);
    this.#forget();
    this.#findPages(addresses, n);
    return this.#fetchWords(addresses, n, values, status);
  }

  /** Entries of earlier batches no longer count. */
  #forget(): void {
    this.#number = (this.#number + 1) | 0;
    if (this.#number === 0) {
      this.#batch.fill(0);
      this.#number = 1;
    }
  }

  #findPages(addresses: Float64Array, n: number): void {
    const memory = this.#space.memory;
    const views = memory.views;
    const firstFrame = memory.firstFrame;
    const tagLos = this.#tagLo;
    const tagHis = this.#tagHi;
    const tables = this.#table;
    const batches = this.#batch;
    const frames = this.#frames;
    const number = this.#number;
    for (let i = 0; i < n; i++) {
      const address = addresses[i] as number;
      const lo = address | 0;
      const hi = ((address - (lo >>> 0)) / HIGH) | 0;
      const tagLo = hi << 11 | lo >>> 21;
      const slot = (tagLo ^ tagLo >>> SLOT_BITS) & (SLOTS - 1);
      if (batches[slot] !== number || tagLos[slot] !== tagLo || tagHis[slot] !== hi >> 21) {
        frames[i] = this.#walk(hi, lo, slot, tagLo);
        continue;
      }
      const table = tables[slot] as number;
      if (table < 0) {
        frames[i] = ~table | lo >>> 12 & 0x1ff;
        continue;
      }
      const gib = table >>> 18;
      const view = views[gib] as Int32Array;
      const at = (((table & 0x3_ffff) - (firstFrame[gib] as number)) << 10) + (lo >>> 11 & 0x3fe);
      if (at < 0 || at >= view.length) {
        frames[i] = this.#space.frameAt(hi, lo);
        continue;
      }
      const entryLo = view[at] as number;
      const entryHi = view[at + 1] as number;
      frames[i] = (entryLo & PTE_P) === 0 || (entryHi & PTE_FRAME_HI) >= 0x800
        ? this.#space.frameAt(hi, lo)
        : (entryHi & PTE_FRAME_HI) << 20 | entryLo >>> 12;
    }
  }

  /** Walks from the root, and remembers the last table (or large page) that it came by. */
  #walk(hi: number, lo: number, slot: number, tagLo: number): number {
    const space = this.#space;
    const frame = space.frameAt(hi, lo);
    if (frame < 0) return frame;
    const walker = space.walker;
    if (walker.shift === 12) this.#table[slot] = walker.tableFrame;
    else this.#table[slot] = ~(frame & ~0x1ff);
    this.#tagLo[slot] = tagLo;
    this.#tagHi[slot] = hi >> 21;
    this.#batch[slot] = this.#number;
    return frame;
  }

  #fetchWords(addresses: Float64Array, n: number, values: Int32Array, status: Int8Array): number {
    const memory = this.#space.memory;
    const views = memory.views;
    const firstFrame = memory.firstFrame;
    const frames = this.#frames;
    let count = 0;
    for (let i = 0; i < n; i++) {
      const frame = frames[i] as number;
      const lo = (addresses[i] as number) | 0;
      if (frame >= 0 && (lo & 3) === 0 && (lo & 0xfff) <= 0xff8) {
        const gib = frame >>> 18;
        const view = views[gib] as Int32Array;
        const at = (((frame & 0x3_ffff) - (firstFrame[gib] as number)) << 10) + (lo >>> 2 & 0x3ff);
        if (at >= 0 && at < view.length && memory.isHeld(frame)) {
          values[2 * i] = view[at] as number;
          values[2 * i + 1] = view[at + 1] as number;
          status[i] = 0;
          count++;
          continue;
        }
      }
      count += this.#fetchOne(addresses[i] as number, i, values, status);
    }
    return count;
  }

  /** Whatever is not an aligned word of a mapped, held page. */
  #fetchOne(address: number, i: number, values: Int32Array, status: Int8Array): number {
    const space = this.#space;
    const ok = space.load64(address);
    values[2 * i] = space.lo;
    values[2 * i + 1] = space.hi;
    status[i] = ok ? 0 : Math.min(space.failure, WALK.notPresent);
    return ok ? 1 : 0;
  }
}
