/**
 * Finds kallsyms' tables of kernels whose VMCOREINFO does not name them (before 6.0), by their contents in
 * the image.
 *
 * The kernel's build writes them one after the other, each at a multiple of eight: offsets, the base of the
 * offsets, the number of symbols, names, markers (the offset of every 256th name), tokens, and their index.
 * The index is recognisable: 256 increasing numbers from 0 on, whose differences are the lengths of the texts
 * before it. From there the number of symbols is searched backwards, and a place is accepted only if
 * everything is consistent: the names, walked from the first to the last, are at the markers' offsets, and
 * the markers are followed by the tokens.
 * @module
 */
import { MAX_KALLSYMS_BYTES, MAX_KALLSYMS_INDEXES, MAX_KALLSYMS_STEPS } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import type { KallsymsPlaces } from "./kallsyms.ts";
import { type ImageRun, imageRuns } from "./kernel_image.ts";

const TOKENS = 256;
/** The longest token, with its NUL. */
const MAX_TOKEN_BYTES = 128;
const ALIGN = 8;
/** Names a marker. */
const MARKED = 256;
/** Bytes a name of the table of their order. */
const ORDER_BYTES = 3;

/**
 * Looks for the tables.
 *
 * @param space the kernel's address space
 * @param stext the image's first address
 * @returns undefined when they are not in it (a kernel without kallsyms)
 */
export function findKallsyms(space: AddressSpace, stext: number): KallsymsPlaces | undefined {
  for (const run of imageRuns(space, stext)) {
    const places = findTables(run, stext);
    if (places !== undefined) return places;
  }
  return undefined;
}

/**
 * Looks for the tables in one run of the image.
 *
 * @param run its bytes
 * @param stext the image's first address
 */
export function findTables(run: ImageRun, stext: number): KallsymsPlaces | undefined {
  return new TableSearch(run, stext).find();
}

/** The search in one run; all places are offsets in it. */
class TableSearch {
  readonly #start: number;
  readonly #stext: number;
  /** The high half of an address in the image. */
  readonly #imageHi: number;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #halves: Uint16Array;
  readonly #view: DataView;
  #indexes = MAX_KALLSYMS_INDEXES;
  /** Names that are still walked. */
  #steps = MAX_KALLSYMS_STEPS;

  constructor({ start, bytes }: ImageRun, stext: number) {
    this.#start = start;
    this.#stext = stext;
    this.#imageHi = Math.floor(stext / 2 ** 32) >>> 0;
    this.#bytes = bytes;
    this.#halves = new Uint16Array(bytes.buffer, 0, bytes.length >>> 1);
    this.#view = new DataView(bytes.buffer, 0, bytes.length);
  }

  find(): KallsymsPlaces | undefined {
    const halves = this.#halves;
    const last = halves.length - TOKENS;
    for (let i = 0; i <= last && this.#steps > 0 && this.#indexes > 0; i += ALIGN / 2) {
      if (halves[i] !== 0 || halves[i + 1] === 0 || !this.#isIndex(i)) continue;
      this.#indexes--;
      const places = this.#before(i * 2);
      if (places !== undefined) return places;
    }
    return undefined;
  }

  #isIndex(at: number): boolean {
    const halves = this.#halves;
    for (let i = 1; i < TOKENS; i++) {
      const step = (halves[at + i] as number) - (halves[at + i - 1] as number);
      if (step < 1 || step > MAX_TOKEN_BYTES) return false;
    }
    return true;
  }

  /** All tables before an index: the nearest number of symbols whose names and markers agree with it. */
  #before(tokenIndex: number): KallsymsPlaces | undefined {
    const tokenTable = this.#tokensBefore(tokenIndex);
    if (tokenTable === undefined) return undefined;
    const view = this.#view;
    const farthest = Math.max(2 * ALIGN, tokenTable - MAX_KALLSYMS_BYTES);
    for (let names = tokenTable - ALIGN; names >= farthest && this.#steps > 0; names -= ALIGN) {
      // A number of 32 bits that is filled up, behind an address of the image.
      if (view.getUint32(names - 4, true) !== 0 || view.getUint32(names - 12, true) !== this.#imageHi) {
        continue;
      }
      const count = view.getUint32(names - ALIGN, true);
      const offsets = names - 2 * ALIGN - aligned(4 * count);
      if (count === 0 || names + 2 * count > tokenTable || offsets < 0) continue;
      if (!this.#agrees(names, count, tokenTable)) continue;
      return {
        names: this.#start + names,
        count: this.#start + names - ALIGN,
        tokenTable: this.#start + tokenTable,
        tokenIndex: this.#start + tokenIndex,
        offsets: this.#start + offsets,
        relativeBase: this.#start + names - 2 * ALIGN,
        stext: this.#stext,
      };
    }
    return undefined;
  }

  /** Where the texts of an index start: they end right before it. */
  #tokensBefore(tokenIndex: number): number | undefined {
    const first = tokenIndex / 2;
    const lastStart = this.#halves[first + TOKENS - 1] as number;
    const nearest = tokenIndex - aligned(lastStart + 1);
    for (let at = nearest; at >= 0 && at >= nearest - MAX_TOKEN_BYTES - ALIGN; at -= ALIGN) {
      let i = 1;
      while (i < TOKENS && this.#endsAt(at, first + i)) i++;
      if (i < TOKENS) continue;
      const end = this.#bytes.subarray(0, tokenIndex).indexOf(0, at + lastStart);
      if (end >= 0 && aligned(end + 1) === tokenIndex && this.#isZero(end, tokenIndex)) return at;
    }
    return undefined;
  }

  /** Whether the text before the one that an entry names ends where that begins, and nowhere before. */
  #endsAt(tokenTable: number, entry: number): boolean {
    const start = tokenTable + (this.#halves[entry - 1] as number);
    const length = (this.#halves[entry] as number) - (this.#halves[entry - 1] as number) - 1;
    return this.#bytes.subarray(start, start + length + 1).indexOf(0) === length;
  }

  /** Walks the names; the markers behind them must tell where every 256th starts, and lead to the tokens. */
  #agrees(names: number, count: number, tokenTable: number): boolean {
    const bytes = this.#bytes;
    const markers: number[] = [];
    let at = names;
    for (let i = 0; i < count; i++) {
      if (at >= tokenTable || this.#steps-- <= 0) return false;
      if (i % MARKED === 0) markers.push(at - names);
      let length = bytes[at++] as number;
      if ((length & 0x80) !== 0) length = length & 0x7f | (bytes[at++] as number) << 7;
      if (length === 0) return false;
      at += length;
    }
    const start = aligned(at);
    if (start > tokenTable || !this.#isZero(at, start)) return false;
    // Markers are words of four bytes since 4.20, of eight before.
    return [4, 8].some((width) => {
      const end = aligned(start + width * markers.length);
      // Since 6.2 (and where that was taken over) the order of the names by their letters stands between.
      return (end === tokenTable || end + aligned(ORDER_BYTES * count) === tokenTable) &&
        markers.every((marker, i) => this.#view.getUint32(start + width * i, true) === marker);
    });
  }

  #isZero(from: number, to: number): boolean {
    for (let i = from; i < to; i++) if (this.#bytes[i] !== 0) return false;
    return true;
  }
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGN) * ALIGN;
}
