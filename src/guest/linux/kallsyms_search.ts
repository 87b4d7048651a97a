/**
 * Where kallsyms' tables are, for kernels whose VMCOREINFO does not tell (before 6.0): they are looked for in
 * the image, by what they are.
 *
 * The kernel's build writes them one behind the other, each at a multiple of eight: offsets, the base of the
 * offsets, the number of symbols, names, markers (where every 256th name starts), the tokens, and their
 * index. The index gives itself away: 256 rising numbers from 0 on, whose differences are the lengths of the
 * texts before it. From there each table is found by the one behind it, and a place counts only if all of
 * them agree: the names, walked from the first to the last, start at every marker where it says.
 * @module
 */
import { MAX_KALLSYMS, MAX_KALLSYMS_INDEXES, MAX_KALLSYMS_WALKS } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import type { KallsymsPlaces } from "./kallsyms.ts";
import { type ImageRun, imageRuns } from "./kernel_image.ts";

const TOKENS = 256;
/** The longest token, with its NUL. */
const MAX_TOKEN_BYTES = 128;
const ALIGN = 8;
/** Names a marker. */
const MARKED = 256;
const MAX_MARKERS = Math.ceil(MAX_KALLSYMS / MARKED);
/** The longest name, with its length. */
const MAX_NAME_BYTES = 514;
/** The high half of an address in the image. */
const IMAGE_HI = 0xffff_ffff;

/** The markers of a table, and where they start. */
interface Markers {
  readonly at: number;
  readonly values: readonly number[];
}

/**
 * Looks for the tables.
 *
 * @param space the kernel's address space
 * @param stext the image's first address
 * @returns undefined when they are not in it (a kernel without kallsyms)
 */
export function findKallsyms(space: AddressSpace, stext: number): KallsymsPlaces | undefined {
  for (const run of imageRuns(space, stext)) {
    const places = new TableSearch(run, stext).find();
    if (places !== undefined) return places;
  }
  return undefined;
}

/** The search in one run; all places are offsets in it. */
class TableSearch {
  readonly #start: number;
  readonly #stext: number;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #halves: Uint16Array;
  readonly #view: DataView;
  #indexes = MAX_KALLSYMS_INDEXES;
  #walks = MAX_KALLSYMS_WALKS;

  constructor({ start, bytes }: ImageRun, stext: number) {
    this.#start = start;
    this.#stext = stext;
    this.#bytes = bytes;
    this.#halves = new Uint16Array(bytes.buffer, 0, bytes.length >>> 1);
    this.#view = new DataView(bytes.buffer, 0, bytes.length);
  }

  find(): KallsymsPlaces | undefined {
    const halves = this.#halves;
    const last = halves.length - TOKENS;
    for (let i = 0; i <= last && this.#walks > 0 && this.#indexes > 0; i += ALIGN / 2) {
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

  /** All tables before an index. */
  #before(tokenIndex: number): KallsymsPlaces | undefined {
    const tokenTable = this.#tokensBefore(tokenIndex);
    if (tokenTable === undefined) return undefined;
    // Markers are words of four bytes since 4.20, of eight before.
    for (const width of [4, 8] as const) {
      const markers = this.#markersBefore(tokenTable, width);
      const names = markers === undefined ? undefined : this.#namesBefore(markers);
      if (names === undefined) continue;
      const count = names - ALIGN;
      const relativeBase = count - ALIGN;
      const offsets = relativeBase - aligned(4 * this.#view.getUint32(count, true));
      if (offsets < 0 || this.#view.getUint32(relativeBase + 4, true) !== IMAGE_HI) continue;
      return {
        names: this.#start + names,
        count: this.#start + count,
        tokenTable: this.#start + tokenTable,
        tokenIndex: this.#start + tokenIndex,
        offsets: this.#start + offsets,
        relativeBase: this.#start + relativeBase,
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

  /** The markers end right before the tokens, and fall to 0 towards their beginning. */
  #markersBefore(end: number, width: 4 | 8): Markers | undefined {
    const view = this.#view;
    const values: number[] = [];
    let at = end - width;
    // An odd number of words is filled up.
    if (width === 4 && at >= 0 && view.getUint32(at, true) === 0) at -= width;
    for (let above = Infinity; at >= 0 && values.length <= MAX_MARKERS; at -= width) {
      const value = view.getUint32(at, true);
      if (value >= above || (width === 8 && view.getUint32(at + 4, true) !== 0)) return undefined;
      values.push(value);
      if (value === 0) return at % ALIGN === 0 ? { at, values: values.reverse() } : undefined;
      above = value;
    }
    return undefined;
  }

  /** The names end right before the markers; their number stands before them. */
  #namesBefore({ at: end, values }: Markers): number | undefined {
    const lastMarked = values[values.length - 1] as number;
    const farthest = end - aligned(lastMarked + MARKED * MAX_NAME_BYTES);
    for (let at = end - aligned(lastMarked + 2); at >= Math.max(2 * ALIGN, farthest); at -= ALIGN) {
      const count = this.#view.getUint32(at - ALIGN, true);
      if (Math.ceil(count / MARKED) !== values.length || this.#view.getUint32(at - 4, true) !== 0) continue;
      if (this.#walks-- <= 0) return undefined;
      if (this.#isWalked(at, count, values, end)) return at;
    }
    return undefined;
  }

  #isWalked(names: number, count: number, markers: readonly number[], end: number): boolean {
    const bytes = this.#bytes;
    let at = names;
    for (let i = 0; i < count && at < end; i++) {
      if (i % MARKED === 0 && markers[i / MARKED] !== at - names) return false;
      let length = bytes[at++] as number;
      if ((length & 0x80) !== 0) length = length & 0x7f | (bytes[at++] as number) << 7;
      if (length === 0) return false;
      at += length;
    }
    return aligned(at) === end && this.#isZero(at, end);
  }

  #isZero(from: number, to: number): boolean {
    for (let i = from; i < to; i++) if (this.#bytes[i] !== 0) return false;
    return true;
  }
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGN) * ALIGN;
}
