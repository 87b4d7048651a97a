/**
 * kallsyms: the kernel's own symbol table, compressed by tokens.
 *
 * A name is a length (since 6.1 bit 7 says that a second byte follows) and that many token bytes; the first
 * decoded character is the symbol's type. A look-up decodes only names whose length, first and last token a
 * wanted one may have. Addresses came in three formats
 * over the years; each is tried on `_stext`, whose address the VMCOREINFO note tells.
 *
 * The tables are copied out of the guest once, bounded, when the first name is asked for.
 * @module
 */
import { MAX_KALLSYMS, MAX_KALLSYMS_BYTES } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import type { NearestSymbol } from "../guest_os.ts";

const LATIN1 = new TextDecoder("latin1");
const TOKENS = 256;
const TOKEN_TABLE_BYTES = 4096;

/** Where the tables are. */
export interface KallsymsPlaces {
  /** kallsyms_names */
  readonly names: number;
  /** kallsyms_num_syms */
  readonly count: number;
  /** kallsyms_token_table */
  readonly tokenTable: number;
  /** kallsyms_token_index */
  readonly tokenIndex: number;
  /** kallsyms_offsets */
  readonly offsets: number;
  /** kallsyms_relative_base; absent from 7.0 on */
  readonly relativeBase: number | undefined;
  /** `_stext` as the note tells it */
  readonly stext: number;
}

/** How an entry of the offsets table gives an address. */
export type AddressFormat = "signed-base" | "base" | "self-relative";

/** The symbol table of one kernel. */
export class Kallsyms {
  /** How many symbols. */
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
   * @returns the table and what was found of `wanted`; or what is wrong with it
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
    const whole = space.read(places.offsets, new Uint8Array(offsets.buffer)) === count * 4;
    if (!whole || Number.isNaN(base) || tokens === undefined || names.length < count) {
      return { unsupported: "kallsyms tables that cannot be read" };
    }
    const table = new Kallsyms(places, names, tokens, offsets, base);
    const places_ = table.#pass(["_stext", ...wanted]);
    if (places_ === undefined) return { unsupported: "kallsyms names that run past their table" };
    const stext = places_.get("_stext");
    const format = stext === undefined ? undefined : table.#formatBy(stext);
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

  /** Decodes every name: from then on a look-up is a map's. */
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
    // Below the first symbol of the image, and past its last one, is something else: user memory, a module.
    if (low === 0 || address >= 0) return undefined;
    if (low === this.count && this.addressAt(low - 1) !== address) return undefined;
    let index = low - 1;
    const at = this.addressAt(index);
    // Of several names of one address the first is the one that /proc/kallsyms readers print.
    while (index > 0 && this.addressAt(index - 1) === at) index--;
    if (at >= 0) return undefined;
    return { name: this.nameAt(index), address: at, offsetBytes: address - at };
  }

  /**
   * One pass over all names: notes where each starts, and decodes those that may be wanted. Undefined when it
   * runs out.
   */
  #pass(wanted: readonly string[]): Map<string, number> | undefined {
    const found = new Map<string, number>();
    const names = this.#names;
    const nameAt = this.#nameAt;
    const wantedSet = new Set(wanted);
    const lengths = this.#tokens.lengths;
    const wantedLength = new Uint8Array(65_536);
    for (const name of wanted) wantedLength[name.length + 1] = 1;
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
      let decoded = 0;
      for (let k = first; k < at; k++) decoded += lengths[names[k] as number] as number;
      if (wantedLength[decoded & 0xffff] === 0) continue;
      const n = this.#decode(nameAt[i] as number, scratch);
      const name = LATIN1.decode(scratch.subarray(1, n));
      if (wantedSet.has(name) && !found.has(name)) found.set(name, i);
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

  #formatBy(stextIndex: number): AddressFormat | undefined {
    const formats: readonly AddressFormat[] = this.#places.relativeBase === undefined
      ? ["self-relative"]
      : ["signed-base", "base", "self-relative"];
    return formats.find((format) => this.#addressAs(format, stextIndex) === this.#places.stext);
  }

  #addressAs(format: AddressFormat, index: number): number {
    const offset = this.#offsets[index] as number;
    switch (format) {
      case "signed-base":
        return offset >= 0 ? offset : this.#base - 1 - offset;
      case "base":
        return this.#base + (offset >>> 0);
      case "self-relative":
        return this.#places.offsets + index * 4 + offset;
    }
  }
}

/** The 256 tokens. */
class TokenTable {
  readonly lengths = new Uint8Array(TOKENS);
  readonly #bytes: Uint8Array;
  readonly #starts: Uint16Array;

  private constructor(bytes: Uint8Array, starts: Uint16Array) {
    this.#bytes = bytes;
    this.#starts = starts;
  }

  static read(space: AddressSpace, places: KallsymsPlaces): TokenTable | undefined {
    const starts = new Uint16Array(TOKENS);
    if (space.read(places.tokenIndex, new Uint8Array(starts.buffer)) < TOKENS * 2) return undefined;
    const bytes = new Uint8Array(TOKEN_TABLE_BYTES);
    const have = space.read(places.tokenTable, bytes);
    const table = new TokenTable(bytes, starts);
    for (let i = 0; i < TOKENS; i++) {
      const start = starts[i] as number;
      const end = bytes.indexOf(0, start);
      if (start >= have || end < 0 || end - start > 255) return undefined;
      table.lengths[i] = end - start;
    }
    return table;
  }

  /**
   * Which tokens a name among these may begin with and end with: two look-ups leave one name in a hundred to
   * be decoded. The first character of what is stored is the symbol's type.
   */
  filter(names: readonly string[]): { readonly firsts: Uint8Array; readonly lasts: Uint8Array } {
    const [firsts, lasts] = [new Uint8Array(TOKENS), new Uint8Array(TOKENS)];
    for (let token = 0; token < TOKENS; token++) {
      const start = this.#starts[token] as number;
      const text = LATIN1.decode(this.#bytes.subarray(start, start + (this.lengths[token] as number)));
      const rest = text.slice(1);
      if (names.some((name) => name.startsWith(rest))) firsts[token] = 1;
      // A whole name in one token has its type before it.
      if (names.some((name) => name.endsWith(text) || name === rest)) lasts[token] = 1;
    }
    return { firsts, lasts };
  }

  append(token: number, into: Uint8Array, at: number): number {
    const start = this.#starts[token] as number;
    const length = this.lengths[token] as number;
    for (let i = 0; i < length && at < into.length; i++) into[at++] = this.#bytes[start + i] as number;
    return at;
  }
}

/** The names lie before the next table (where the note tells of one), and are bounded in any case. */
function readNames(space: AddressSpace, places: KallsymsPlaces): Uint8Array {
  let bound = MAX_KALLSYMS_BYTES;
  for (const other of [places.tokenTable, places.tokenIndex, places.offsets, places.count]) {
    if (other > places.names) bound = Math.min(bound, other - places.names);
  }
  const names = new Uint8Array(bound);
  return names.subarray(0, space.read(places.names, names));
}

/** Order of unsigned addresses held as signed doubles (adding 2^64 would round them). */
function notAbove(a: number, b: number): boolean {
  return a >= 0 === b >= 0 ? a <= b : a >= 0;
}
