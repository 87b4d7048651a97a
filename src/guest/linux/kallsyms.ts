/**
 * kallsyms: the kernel's own symbol table, compressed by tokens.
 *
 * A name is a length (since 6.1 bit 7 means that a second byte follows) and that many token bytes; the first
 * decoded character is the symbol's type. A look-up decodes only names whose length, first and last token may
 * match. There have been three formats of addresses; each is tried with `_stext`, whose address is in the
 * VMCOREINFO note.
 *
 * The tables are copied from the guest once, bounded, when the first name is looked up.
 * @module
 */
import { MAX_KALLSYMS, MAX_KALLSYMS_BYTES } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import { readBulk } from "../bulk_read.ts";
import type { NearestSymbol } from "../guest_os.ts";
import type { KallsymsPlaces } from "./kallsyms_places.ts";
import { TokenTable } from "./kallsyms_tokens.ts";

export type { KallsymsPlaces };

const LATIN1 = new TextDecoder("latin1");

/** How an entry of the offsets table encodes an address. */
export type AddressFormat = "signed-base" | "base" | "self-relative";

/** The symbol table of one kernel. */
export class Kallsyms {
  /** Number of symbols. */
  readonly count: number;
  /** The addresses' format. */
  readonly format: AddressFormat;
  readonly #names: Uint8Array;
  readonly #nameAt: Int32Array;
  readonly #tokens: TokenTable;
  readonly #offsets: Int32Array;
  readonly #places: KallsymsPlaces;
  readonly #base: number;
  #known: Map<string, number> | undefined;

  private constructor(
    places: KallsymsPlaces,
    names: Uint8Array,
    tokens: TokenTable,
    offsets: Int32Array,
    base: number,
  ) {
    this.count = offsets.length;
    this.#places = places;
    this.#names = names;
    this.#tokens = tokens;
    this.#offsets = offsets;
    this.#base = base;
    this.#nameAt = new Int32Array(this.count);
    this.format = "signed-base";
  }

  /**
   * Copies and checks the tables.
   *
   * @param space the kernel's address space
   * @param places where they are
   * @param wanted names to look up in the same pass
   * @returns the table and the addresses found of `wanted`; or what is wrong with it
   */
  static load(
    space: AddressSpace,
    places: KallsymsPlaces,
    wanted: readonly string[],
  ): { readonly table: Kallsyms; readonly found: Map<string, number> } | { readonly unsupported: string } {
    const count = space.readU32(places.count);
    if (!(count > 0 && count <= MAX_KALLSYMS)) return { unsupported: `kallsyms with ${count} symbols` };
    const base = places.relativeBase === undefined ? 0 : space.readS64(places.relativeBase);
    const offsets = new Int32Array(count);
    const tokens = TokenTable.read(space, places);
    const names = readNames(space, places);
    const whole = readBulk(space, places.offsets, new Uint8Array(offsets.buffer)) === count * 4;
    if (!whole || Number.isNaN(base) || tokens === undefined || names.length < count) {
      return { unsupported: "kallsyms tables that cannot be read" };
    }
    const table = new Kallsyms(places, names, tokens, offsets, base);
    const places_ = table.#pass(["_stext", ...wanted]);
    if (places_ === undefined) return { unsupported: "kallsyms names that run past their table" };
    const stext = places_.get("_stext");
    const format = stext === undefined
      ? undefined
      : addressFormat(places, base, stext, offsets[stext] as number);
    if (format === undefined) return { unsupported: "kallsyms addresses in a format that is not known" };
    (table as { format: AddressFormat }).format = format;
    const found = new Map<string, number>();
    for (const [name, index] of places_) found.set(name, table.addressAt(index));
    return { table, found };
  }

  /** Address of symbol number `index`. */
  addressAt(index: number): number {
    return this.#addressAs(this.format, index);
  }

  /** Name of symbol number `index`, without its type. */
  nameAt(index: number): string {
    const scratch = new Uint8Array(1024);
    const length = this.#decode(this.#nameAt[index] as number, scratch);
    return LATIN1.decode(scratch.subarray(1, length));
  }

  /** Addresses of the names that exist, in one pass over the table. */
  lookup(names: readonly string[]): Map<string, number> {
    const out = new Map<string, number>();
    if (this.#known !== undefined) {
      for (const name of names) {
        const address = this.#known.get(name);
        if (address !== undefined) out.set(name, address);
      }
      return out;
    }
    for (const [name, index] of this.#pass(names) ?? []) out.set(name, this.addressAt(index));
    return out;
  }

  /** Decodes every name: from then on a look-up is one in a map. */
  decodeAll(): Map<string, number> {
    if (this.#known === undefined) {
      const known = new Map<string, number>();
      for (let i = 0; i < this.count; i++) {
        const name = this.nameAt(i);
        if (!known.has(name)) known.set(name, this.addressAt(i));
      }
      this.#known = known;
    }
    return this.#known;
  }

  /** The last symbol at or below an address; the table is sorted by address. */
  nearest(address: number): NearestSymbol | undefined {
    let low = 0;
    let high = this.count;
    // Per-CPU symbols come first and are small and positive: as unsigned addresses all is in order.
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (notAbove(this.addressAt(middle), address)) low = middle + 1;
      else high = middle;
    }
    // Below the first symbol of the image, and after its last one, are other things: user memory, a module.
    if (low === 0 || address >= 0) return undefined;
    if (low === this.count && this.addressAt(low - 1) !== address) return undefined;
    let index = low - 1;
    const at = this.addressAt(index);
    // Of several names of one address, the first one is used, as in the kernel's own messages.
    while (index > 0 && this.addressAt(index - 1) === at) index--;
    if (at >= 0) return undefined;
    return { name: this.nameAt(index), address: at, offsetBytes: address - at };
  }

  /**
   * One pass over all names: notes where each starts, and decodes those that may match. Undefined if it ends
   * too early.
   */
  #pass(wanted: readonly string[]): Map<string, number> | undefined {
    const found = new Map<string, number>();
    const names = this.#names;
    const nameAt = this.#nameAt;
    const { lengths, heads, seconds, tails } = this.#tokens;
    // The combinations of first and last letters of the wanted names: of 17,000 names of a kernel with a
    // likely first and last token, a hundred remain.
    const pairs = new Uint8Array(65_536);
    const wantedLength = new Uint8Array(65_536);
    const left = new Map<string, Uint8Array>();
    for (const name of wanted) {
      if (!/^[!-~]+$/.test(name)) continue; // no symbol has such a name
      wantedLength[name.length + 1] = 1;
      pairs[name.charCodeAt(0) << 8 | name.charCodeAt(name.length - 1)] = 1;
      left.set(name, Uint8Array.from(name, (letter) => letter.charCodeAt(0)));
    }
    const { firsts, lasts } = this.#tokens.filter(wanted);
    const scratch = new Uint8Array(1024);
    const count = this.count;
    const size = names.length;
    let at = 0;
    for (let i = 0; i < count; i++) {
      nameAt[i] = at;
      let length = names[at++] as number;
      if ((length & 0x80) !== 0) length = length & 0x7f | (names[at++] as number) << 7;
      const first = at;
      at += length;
      if (at > size) return undefined;
      if ((firsts[names[first] as number] as number) === 0 || lasts[names[at - 1] as number] === 0) continue;
      const letter = (seconds[names[first] as number] as number) ||
        (heads[names[first + 1] as number] as number);
      if (pairs[letter << 8 | (tails[names[at - 1] as number] as number)] !== 1) continue;
      let decoded = 0;
      for (let k = first; k < at; k++) decoded += lengths[names[k] as number] as number;
      if (wantedLength[decoded & 0xffff] === 0) continue;
      const n = this.#decode(nameAt[i] as number, scratch);
      // The first of several symbols of one name counts.
      for (const [name, letters] of left) {
        if (letters.length !== n - 1 || !isAt(scratch, 1, letters)) continue;
        found.set(name, i);
        left.delete(name);
      }
    }
    return found;
  }

  #decode(at: number, into: Uint8Array): number {
    const names = this.#names;
    let length = names[at++] as number;
    if ((length & 0x80) !== 0) length = length & 0x7f | (names[at++] as number) << 7;
    let n = 0;
    for (const end = at + length; at < end; at++) {
      n = this.#tokens.append(names[at] as number, into, n);
    }
    return n;
  }

  #addressAs(format: AddressFormat, index: number): number {
    return symbolAddress(format, this.#places, this.#base, index, this.#offsets[index] as number);
  }
}

/**
 * The address of a symbol by its entry in the offsets table.
 *
 * @param base what `relativeBase` points at; 0 without
 * @param index the entry's number
 * @param offset the entry
 */
export function symbolAddress(
  format: AddressFormat,
  places: KallsymsPlaces,
  base: number,
  index: number,
  offset: number,
): number {
  switch (format) {
    case "signed-base":
      return offset >= 0 ? offset : base - 1 - offset;
    case "base":
      return base + (offset >>> 0);
    case "self-relative":
      return places.offsets + index * 4 + offset;
  }
}

/** The format with which the entry of `_stext` gives the note's address. */
export function addressFormat(
  places: KallsymsPlaces,
  base: number,
  index: number,
  offset: number,
): AddressFormat | undefined {
  const formats: readonly AddressFormat[] = places.relativeBase === undefined
    ? ["self-relative"]
    : ["signed-base", "base", "self-relative"];
  return formats.find((format) => symbolAddress(format, places, base, index, offset) === places.stext);
}

/** Whether these bytes are there. */
function isAt(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  for (let i = 0; i < wanted.length; i++) if (bytes[at + i] !== wanted[i]) return false;
  return true;
}

/** The names lie before the next table (where the note tells of one), and are bounded in any case. */
export function boundOfNames(places: KallsymsPlaces): number {
  let bound = MAX_KALLSYMS_BYTES;
  for (const other of [places.tokenTable, places.tokenIndex, places.offsets, places.count]) {
    if (other > places.names) bound = Math.min(bound, other - places.names);
  }
  return bound;
}

function readNames(space: AddressSpace, places: KallsymsPlaces): Uint8Array {
  const names = new Uint8Array(boundOfNames(places));
  return names.subarray(0, readBulk(space, places.names, names));
}

/** Order of unsigned addresses held as signed doubles (adding 2^64 would round them). */
function notAbove(a: number, b: number): boolean {
  return a >= 0 === b >= 0 ? a <= b : a >= 0;
}
