/**
 * BTF: the kernel's own description of its types, read for the offsets of a few fields.
 *
 * A pass notes where each type's record starts and which records are wanted structures (or typedefs of
 * nameless ones); members are read only there, and anonymous members are followed. It reads only as far as a
 * query needs: a process list's needs are in the first seventh of a kernel's table. Records are counted and
 * bounded: an inconsistent table ends the pass, with an error text if nothing was found before.
 * @module
 */
import { MAX_BTF_BYTES, MAX_BTF_DEPTH, MAX_BTF_MEMBERS, MAX_BTF_NAMESAKES } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import { readBulk } from "../bulk_read.ts";
import { mappedBytes } from "../mapped_bytes.ts";

const MAGIC = 0x0001_eb9f;
const HEADER_BYTES = 24;
const KIND = { struct: 4, union: 5, typedef: 8, enum64: 19 } as const;
/**
 * Words behind the three of every record that do not depend on its member count: INT, ARRAY, VAR, DECL_TAG.
 */
export const BTF_FIXED_WORDS: Readonly<Record<number, number>> = { 1: 1, 3: 3, 14: 1, 17: 1 };
/** Words a member. */
export const BTF_MEMBER_WORDS: Readonly<Record<number, number>> = { 4: 3, 5: 3, 6: 2, 13: 2, 15: 3, 19: 3 };
/** Words per member, by kind. */
const FIXED = Uint8Array.from({ length: 32 }, (_, kind) => BTF_FIXED_WORDS[kind] ?? 0);
const PER_MEMBER = Uint8Array.from({ length: 32 }, (_, kind) => BTF_MEMBER_WORDS[kind] ?? 0);
/** Words that are copied from a guest and processed at a time. */
const PIECE_WORDS = 65_536;
const UNREADABLE = "BTF that cannot be read";
const LATIN1 = new TextDecoder("latin1");

/** Copies words of the table from byte `from` on; false if they cannot be read. */
type Source = (from: number, into: Uint8Array) => boolean;

/** The types of one kernel. */
export class Btf {
  readonly #words: Int32Array;
  readonly #strings: Uint8Array;
  readonly #typeAt: Int32Array;
  readonly #structs: Map<string, number[]> = new Map();
  readonly #wanted: NameFilter;
  /** Structures of which a field was found; others with the same name are ignored. */
  readonly #settled: Set<string> = new Set();
  readonly #source: Source;
  /** Number of words of the table read so far. */
  #have: number;
  /** The next record, and its type number. */
  #at = 0;
  #id = 1;
  #fault: string | undefined;

  private constructor({ words, strings }: BtfSections, structs: readonly string[], source?: Source) {
    this.#words = words;
    this.#strings = strings;
    this.#typeAt = new Int32Array(Math.floor(words.length / 3) + 2);
    this.#wanted = new NameFilter(strings, structs);
    this.#have = source === undefined ? words.length : 0;
    this.#source = source ?? (() => false);
  }

  /**
   * Copies the table from the guest on demand, a piece at a time.
   *
   * @param space the kernel's address space
   * @param start `__start_BTF`
   * @param stop `__stop_BTF`
   * @param structs names of the structures that will be queried
   */
  static load(
    space: AddressSpace,
    start: number,
    stop: number,
    structs: readonly string[],
  ): Btf | { readonly unsupported: string } {
    const size = stop - start;
    if (!(size >= HEADER_BYTES && size <= MAX_BTF_BYTES)) return { unsupported: `BTF of ${size} bytes` };
    // In mapped RAM it is read in place: every number in it is checked where it is used.
    const mapped = start % 4 === 0 ? mappedBytes(space, start, size) : undefined;
    const inPlace = mapped === undefined ? undefined : btfSections(mapped);
    if (inPlace !== undefined && !("unsupported" in inPlace)) {
      const btf = new Btf(inPlace, structs);
      btf.#next();
      return btf.#fault === undefined ? btf : { unsupported: btf.#fault };
    }
    const bytes = new Uint8Array(Math.ceil(size / 4) * 4);
    const read: Source = (from, into) => readBulk(space, start + from, into) === into.length;
    if (!read(0, bytes.subarray(0, HEADER_BYTES))) return { unsupported: UNREADABLE };
    const sections = btfSections(bytes);
    if ("unsupported" in sections) return sections;
    if (!read(sections.strings.byteOffset, sections.strings)) return { unsupported: UNREADABLE };
    const btf = new Btf(sections, structs, read);
    // An invalid table shows at its first structure.
    btf.#next();
    return btf.#fault === undefined ? btf : { unsupported: btf.#fault };
  }

  /** The same for a table in memory, which is processed at once. */
  static parse(
    bytes: Uint8Array<ArrayBuffer>,
    structs: readonly string[],
  ): Btf | { readonly unsupported: string } {
    const sections = btfSections(bytes);
    if ("unsupported" in sections) return sections;
    const btf = new Btf(sections, structs);
    while (btf.#next() !== undefined);
    return btf.#fault === undefined ? btf : { unsupported: btf.#fault };
  }

  /** Byte offset of a structure's field, anonymous members followed; undefined when there is none. */
  offsetOf(struct: string, field: string): number | undefined {
    const budget = { members: MAX_BTF_MEMBERS };
    const filter = new NameFilter(this.#strings, [field]);
    for (let i = 0;; i++) {
      const at = this.#structs.get(struct)?.[i];
      if (at === undefined) {
        if (this.#settled.has(struct) || !this.#another(struct, i)) return undefined;
        i--;
        continue;
      }
      const bits = this.#find(at, filter, 0, budget);
      if (bits === undefined) continue;
      this.#settled.add(struct);
      return bits >>> 3;
    }
  }

  /** Size of a structure in bytes; undefined when there is none. */
  sizeOf(struct: string): number | undefined {
    if (!this.#structs.has(struct) && !this.#another(struct, 0)) return undefined;
    const at = this.#record(this.#structs.get(struct)?.[0] ?? 0);
    return at === undefined ? undefined : this.#words[at + 2];
  }

  /** Continues until more than `known` structures of that name are known; false if there are no more. */
  #another(struct: string, known: number): boolean {
    if (known >= MAX_BTF_NAMESAKES || !this.#wanted.has(struct)) return false;
    for (let found = this.#next(); found !== undefined; found = this.#next()) {
      if (found === struct && (this.#structs.get(struct)?.length ?? 0) > known) return true;
    }
    return false;
  }

  /** Continues to the next wanted structure: its name, or undefined at the table's end or an error. */
  #next(): string | undefined {
    const words = this.#words;
    const size = words.length;
    const wanted = this.#wanted;
    while (this.#at + 3 <= size && this.#fault === undefined) {
      const piece = Math.min(size, this.#at + PIECE_WORDS);
      if (!this.#fill(Math.min(size, piece + 3))) return undefined;
      const name = this.#pass(words, wanted, piece);
      if (name !== undefined) return name;
    }
    return undefined;
  }

  /** Processes records up to word `limit`, or the first wanted one. */
  #pass(words: Int32Array, wanted: NameFilter, limit: number): string | undefined {
    const typeAt = this.#typeAt;
    const size = words.length;
    let at = this.#at;
    let id = this.#id;
    let name: string | undefined;
    while (at < limit && at + 3 <= size && name === undefined) {
      const info = words[at + 1] as number;
      const kind = info >>> 24 & 0x1f;
      if (kind === 0 || kind > KIND.enum64) {
        this.#fault = `BTF with a type of kind ${kind}`;
        break;
      }
      typeAt[id++] = at;
      const here = at;
      at += 3 + (FIXED[kind] as number) + (PER_MEMBER[kind] as number) * (info & 0xffff);
      if (at > size) {
        this.#fault = "BTF that is cut short";
        break;
      }
      if (kind !== KIND.struct && kind !== KIND.union && kind !== KIND.typedef) continue;
      name = wanted.match(words[here] as number);
      if (name !== undefined) note(this.#structs, name, here);
    }
    this.#at = at;
    this.#id = id;
    // The whole of a record that is wanted.
    return name !== undefined && this.#fill(at) ? name : undefined;
  }

  /** Reads the table up to word `end`; false, with the error noted, if it cannot be read. */
  #fill(end: number): boolean {
    if (end <= this.#have) return true;
    const to = Math.min(this.#words.length, Math.max(end, this.#have + PIECE_WORDS));
    const { buffer, byteOffset } = this.#words;
    const from = byteOffset + this.#have * 4;
    if (!this.#source(from, new Uint8Array(buffer, from, (to - this.#have) * 4))) this.#fault = UNREADABLE;
    else this.#have = to;
    return this.#fault === undefined;
  }

  /** The structure behind a wanted record: itself, or the one for which it is another name. */
  #record(at: number): number | undefined {
    const kind = (this.#words[at + 1] as number) >>> 24 & 0x1f;
    return kind === KIND.typedef ? this.#place(this.#words[at + 2] as number) : at;
  }

  /** The record of a structure, reading on if necessary; undefined if there is none. */
  #place(id: number): number | undefined {
    while (id >= this.#id && this.#next() !== undefined);
    if (!(id > 0 && id < this.#id)) return undefined;
    const at = this.#typeAt[id] as number;
    const info = this.#words[at + 1] as number;
    const kind = info >>> 24 & 0x1f;
    if (kind !== KIND.struct && kind !== KIND.union) return undefined;
    return this.#fill(Math.min(this.#words.length, at + 3 + 3 * (info & 0xffff))) ? at : undefined;
  }

  /**
   * Bit offset of the field in the record at `at`, or undefined. The number of members is bounded, because a
   * structure could contain itself as a nameless member.
   */
  #find(at: number, field: NameFilter, depth: number, budget: { members: number }): number | undefined {
    const record = this.#record(at);
    if (record === undefined || depth > MAX_BTF_DEPTH) return undefined;
    at = record;
    const words = this.#words;
    const info = words[at + 1] as number;
    const bitfields = info < 0;
    for (let i = 0, member = at + 3; i < (info & 0xffff); i++, member += 3) {
      if (--budget.members < 0) return undefined;
      const nameAt = words[member] as number;
      const raw = words[member + 2] as number;
      const bits = bitfields ? raw & 0xff_ffff : raw;
      if (nameAt !== 0) {
        if (field.match(nameAt) !== undefined) return bits;
        continue;
      }
      const inner = this.#place(words[member + 1] as number);
      if (inner === undefined) continue;
      const within = this.#find(inner, field, depth + 1, budget);
      if (within !== undefined) return bits + within;
    }
    return undefined;
  }
}

/** A table's records, and its strings. */
export interface BtfSections {
  /** The records. */
  readonly words: Int32Array;
  /** Names, each with a NUL behind it. */
  readonly strings: Uint8Array;
}

/** The two sections of a table of at least 24 bytes: its records, and its strings. */
export function btfSections(
  bytes: Uint8Array,
): BtfSections | { readonly unsupported: string } {
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (header.getUint32(0, true) !== MAGIC) return { unsupported: "BTF with another magic or version" };
  const headerBytes = header.getUint32(4, true);
  const typesAt = headerBytes + header.getUint32(8, true);
  const typesBytes = header.getUint32(12, true);
  const stringsAt = headerBytes + header.getUint32(16, true);
  const stringsBytes = header.getUint32(20, true);
  if (typesAt % 4 !== 0 || typesAt + typesBytes > bytes.length || stringsAt + stringsBytes > bytes.length) {
    return { unsupported: "BTF whose sections lie outside it" };
  }
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + typesAt, typesBytes >>> 2);
  const strings = bytes.subarray(stringsAt, stringsAt + stringsBytes);
  return { words, strings };
}

/** A structure's place, among those of the same name. */
function note(found: Map<string, number[]>, name: string, at: number): void {
  const places = found.get(name);
  if (places === undefined) found.set(name, [at]);
  else if (places.length < MAX_BTF_NAMESAKES) places.push(at);
}

/** Compares a string of the table with a few names, by first byte and length before anything is decoded. */
class NameFilter {
  readonly #strings: Uint8Array;
  readonly #names: readonly string[];
  readonly #firsts = new Uint8Array(256);

  constructor(strings: Uint8Array, names: readonly string[]) {
    this.#strings = strings;
    this.#names = names;
    for (const name of names) this.#firsts[name.charCodeAt(0) & 0xff] = 1;
  }

  /** Whether it looks for that name. */
  has(name: string): boolean {
    return this.#names.includes(name);
  }

  match(at: number): string | undefined {
    const strings = this.#strings;
    const first = strings[at];
    if (first === undefined || this.#firsts[first] !== 1) return undefined;
    for (const name of this.#names) {
      if (strings[at + name.length] !== 0 || name.charCodeAt(0) !== first) continue;
      if (LATIN1.decode(strings.subarray(at, at + name.length)) === name) return name;
    }
    return undefined;
  }
}
