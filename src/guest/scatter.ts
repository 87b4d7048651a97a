/**
 * Reads or translates a batch of scattered addresses: one pass over the addresses finds the pages, a second
 * one reads the words.
 *
 * Shared tables are read once: a small direct-mapped cache keeps, for each 2 MiB that was met, its last-level
 * table (or the large page), and is forgotten when the batch ends, so that no stale translation outlives a
 * call. The passes are apart because a processor overlaps cache misses only as far as its window of
 * instructions reaches: each loop is as short as it can be, and hands the next one a word's index. 65,536
 * reads over 64 MiB of scattered pages: 8.2 ns each, against 4.4 ns for the same in C.
 *
 * Results are two int32 halves an address, and a status byte; nothing is allocated but one view a batch, and
 * when a batch is larger than any before.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { AddressSpace } from "./address_space.ts";
import { WALK } from "./paging.ts";

const SLOTS = 4096;
const IRREGULAR = -1;
/** No address has it: tags are 31 bits and signed. */
const NO_TAG = 0x7fff_ffff;
/** Marks a large page's frame; negative, and stays so when an index is added. */
const LARGE = 0x8000_0000 | 0;

/** Reads batches from one address space. Reusable; not reentrant. */
export class ScatterReader {
  readonly #space: AddressSpace;
  /** Which 2 MiB a slot holds: address bits 33 to 63; bits 21 to 32 are the slot's number. */
  readonly #tags = new Int32Array(SLOTS);
  /** Word index of the last-level table in the linear view; or a large page's first frame, with LARGE. */
  readonly #tables = new Int32Array(SLOTS);
  #indices = new Int32Array(0);

  /**
   * Starts without state other than its buffers.
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
   * @param values receives the low and the high half of each: at least twice as long as `addresses`, its
   *   bytes 8-aligned; 0 where nothing was read
   * @param status receives 0, or a negative WALK code, for each address
   * @returns how many were read
   */
  read(addresses: Float64Array, values: Int32Array, status: Int8Array): number {
    const n = addresses.length;
    assert(values.length >= 2 * n && status.length >= n, "a batch's results have room");
    assert(values.byteOffset % 8 === 0, "a batch's values start at a multiple of eight bytes");
    if (this.#indices.length < n) this.#indices = new Int32Array(n);
    // The cache is valid only during the batch.
    this.#tags.fill(NO_TAG);
    if (this.#space.paging.architecture === "aarch64") this.#findArm64Words(addresses, n);
    else this.#findWords(addresses, n);
    return n - this.#fetchWords(addresses, n, values, status);
  }

  /**
   * Translates each address, as `translate` of the address space does one.
   *
   * @param addresses which; they need not be sorted or different
   * @param gpas receives the physical address of each, or a negative WALK code: at least as long
   */
  translate(addresses: Float64Array, gpas: Float64Array): void {
    const n = addresses.length;
    assert(gpas.length >= n, "a batch's results have room");
    this.#tags.fill(NO_TAG);
    const isArm = this.#space.paging.architecture === "aarch64";
    // What the entry of a page has, and has not where the page lies in the linear view.
    this.#translateAll(addresses, gpas, n, isArm ? 3 : 1, isArm ? 0xfffe : 0xffffe);
  }

  #translateAll(addresses: Float64Array, gpas: Float64Array, n: number, wanted: number, bad: number): void {
    const linear = this.#space.memory.linear;
    const tags = this.#tags;
    const tables = this.#tables;
    for (let i = 0; i < n; i++) {
      const address = addresses[i] as number;
      const lo = address | 0;
      const hi = (address * 2 ** -32 | 0) - (address < 0 && lo !== 0 ? 1 : 0);
      const slot = (hi << 11 | lo >>> 21) & 4095;
      const table = tables[slot] as number;
      const at = table + (lo >>> 11 & 1022);
      if (tags[slot] !== hi >> 1) {
        this.#walk(hi, lo, slot);
        gpas[i] = this.#space.translate(address);
        continue;
      }
      if (at < 0) {
        gpas[i] = (table & 0x7fff_ffff | lo >>> 12 & 0x1ff) * 4096 + (lo & 0xfff);
        continue;
      }
      const entryLo = linear[at] as number;
      const entryHi = linear[at + 1] as number;
      gpas[i] = entryHi & bad | ~entryLo & wanted
        ? this.#space.translate(address)
        : (entryHi << 20 | entryLo >>> 12) * 4096 + (lo & 0xfff);
    }
  }

  /**
   * For each address the index of its first word in the linear view; negative for whatever is not regular.
   * Literals stand where names would: a module's constant is a load and a check each time round (9 ns a read
   * with names, 4 without).
   */
  #findWords(addresses: Float64Array, n: number): void {
    const linear = this.#space.memory.linear;
    const tags = this.#tags;
    const tables = this.#tables;
    const indices = this.#indices;
    for (let i = 0; i < n; i++) {
      const address = addresses[i] as number;
      const lo = address | 0;
      const hi = (address * 2 ** -32 | 0) - (address < 0 && lo !== 0 ? 1 : 0);
      const slot = (hi << 11 | lo >>> 21) & 4095;
      if (tags[slot] !== hi >> 1) {
        indices[i] = this.#walk(hi, lo, slot);
        continue;
      }
      const at = (tables[slot] as number) + (lo >>> 11 & 1022);
      if (at < 0) {
        indices[i] = largePageIndex(tables[slot] as number, lo);
        continue;
      }
      const entryLo = linear[at] as number;
      const entryHi = linear[at + 1] as number;
      indices[i] = entryHi & 0xffffe | lo & 7 | ~entryLo & 1
        ? -1
        : entryHi << 30 | entryLo >>> 12 << 10 | lo >>> 2 & 0x3ff;
    }
  }

  /**
   * The same for arm64: 3 in an entry's low bits is a page; address bits 33 to 47 are past the linear view.
   */
  #findArm64Words(addresses: Float64Array, n: number): void {
    const linear = this.#space.memory.linear;
    const tags = this.#tags;
    const tables = this.#tables;
    const indices = this.#indices;
    for (let i = 0; i < n; i++) {
      const address = addresses[i] as number;
      const lo = address | 0;
      const hi = (address * 2 ** -32 | 0) - (address < 0 && lo !== 0 ? 1 : 0);
      const slot = (hi << 11 | lo >>> 21) & 4095;
      if (tags[slot] !== hi >> 1) {
        indices[i] = this.#walk(hi, lo, slot);
        continue;
      }
      const at = (tables[slot] as number) + (lo >>> 11 & 1022);
      if (at < 0) {
        indices[i] = largePageIndex(tables[slot] as number, lo);
        continue;
      }
      const entryLo = linear[at] as number;
      const entryHi = linear[at + 1] as number;
      indices[i] = entryHi & 0xfffe | lo & 7 | ~entryLo & 3
        ? -1
        : entryHi << 30 | entryLo >>> 12 << 10 | lo >>> 2 & 0x3ff;
    }
  }

  /** Walks from the root, and caches the last table (or large page). */
  #walk(hi: number, lo: number, slot: number): number {
    const { walker, rootFrame, memory } = this.#space;
    const frame = walker.explain(rootFrame, hi, lo);
    const frames = memory.linear.length >>> 10;
    if (frame < 0 || walker.tableFrame >= frames || frame >= frames) return IRREGULAR;
    // Only tables of 512 entries are kept.
    if (walker.paging.variant !== 0) return (lo & 7) !== 0 ? IRREGULAR : frame << 10 | lo >>> 2 & 0x3ff;
    this.#tables[slot] = walker.shift === 12 ? walker.tableFrame << 10 : frame & ~0x1ff | LARGE;
    this.#tags[slot] = hi >> 1;
    return (lo & 7) !== 0 ? IRREGULAR : frame << 10 | lo >>> 2 & 0x3ff;
  }

  /** Fetches what was found; returns how many failed. */
  #fetchWords(addresses: Float64Array, n: number, values: Int32Array, status: Int8Array): number {
    const { linear64, held } = this.#space.memory;
    // Copied as whole 64-bit elements, which compiled code does without making a BigInt: one load and one
    // store instead of two.
    const out = new BigInt64Array(values.buffer, values.byteOffset, n);
    const end = held.length;
    const indices = this.#indices;
    let failed = 0;
    status.fill(0, 0, n);
    for (let i = 0; i < n; i++) {
      const at = indices[i] as number;
      // One comparison for negative indices and for those past the end.
      const word = at >>> 15;
      if (word >= end || ((held[word] as number) >>> (at >>> 10) & 1) === 0) {
        failed += this.#fetchOne(addresses[i] as number, i, values, status);
        continue;
      }
      out[i] = linear64[at >>> 1] as bigint;
    }
    return failed;
  }

  /** Anything but an aligned word in a held page of the linear view: translated again from the root. */
  #fetchOne(address: number, i: number, values: Int32Array, status: Int8Array): number {
    const space = this.#space;
    const ok = space.load64(address);
    values[2 * i] = space.lo;
    values[2 * i + 1] = space.hi;
    status[i] = ok ? 0 : Math.min(space.failure, WALK.notPresent);
    return ok ? 0 : 1;
  }
}

/** Index of a word of a large page. */
function largePageIndex(table: number, lo: number): number {
  return table >= 0 || (lo & 7) !== 0
    ? IRREGULAR
    : (table & ~LARGE | lo >>> 12 & 0x1ff) << 10 | lo >>> 2 & 0x3ff;
}
