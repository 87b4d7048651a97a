/**
 * BTF: the kernel's own description of its types, read for the offsets of a few fields.
 *
 * One pass notes where each type's record starts and which records are wanted structures; members are looked
 * at only there, and anonymous members are followed. Records are counted and bounded: a table that lies ends
 * the pass with an error text.
 * @module
 */
import { MAX_BTF_BYTES, MAX_BTF_DEPTH, MAX_BTF_MEMBERS, MAX_BTF_NAMESAKES } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";

const MAGIC = 0x0001_eb9f;
const KIND = { array: 3, struct: 4, union: 5, enumeration: 6, proto: 13, datasec: 15, enum64: 19 } as const;
/**
 * Words behind the three of every record that do not depend on its member count: INT, ARRAY, VAR, DECL_TAG.
 */
export const BTF_FIXED_WORDS: Readonly<Record<number, number>> = { 1: 1, 3: 3, 14: 1, 17: 1 };
/** Words a member. */
export const BTF_MEMBER_WORDS: Readonly<Record<number, number>> = { 4: 3, 5: 3, 6: 2, 13: 2, 15: 3, 19: 3 };
const LATIN1 = new TextDecoder("latin1");

/** The types of one kernel. */
export class Btf {
  readonly #words: Int32Array;
  readonly #strings: Uint8Array;
  readonly #typeAt: Int32Array;
  readonly #structs: Map<string, number[]>;

  private constructor(
    words: Int32Array,
    strings: Uint8Array,
    typeAt: Int32Array,
    structs: Map<string, number[]>,
  ) {
    this.#words = words;
    this.#strings = strings;
    this.#typeAt = typeAt;
    this.#structs = structs;
  }

  /**
   * Copies the table out of the guest and finds the wanted structures.
   *
   * @param space the kernel's address space
   * @param start `__start_BTF`
   * @param stop `__stop_BTF`
   * @param structs names of the structures that will be asked for
   */
  static load(
    space: AddressSpace,
    start: number,
    stop: number,
    structs: readonly string[],
  ): Btf | { readonly unsupported: string } {
    const size = stop - start;
    if (!(size >= 24 && size <= MAX_BTF_BYTES)) return { unsupported: `BTF of ${size} bytes` };
    const bytes = new Uint8Array(Math.ceil(size / 4) * 4);
    if (space.read(start, bytes, 0, size) < size) return { unsupported: "BTF that cannot be read" };
    return Btf.parse(bytes, structs);
  }

  /** The same for a table that is at hand. */
  static parse(
    bytes: Uint8Array<ArrayBuffer>,
    structs: readonly string[],
  ): Btf | { readonly unsupported: string } {
    const sections = btfSections(bytes);
    if ("unsupported" in sections) return sections;
    return Btf.#index(sections.words, sections.strings, structs);
  }

  static #index(
    words: Int32Array,
    strings: Uint8Array,
    structs: readonly string[],
  ): Btf | { readonly unsupported: string } {
    const typeAt = new Int32Array(Math.floor(words.length / 3) + 2);
    const wanted = new NameFilter(strings, structs);
    const found = new Map<string, number[]>();
    const fixed = new Uint8Array(32);
    const perMember = new Uint8Array(32);
    for (const kind in BTF_FIXED_WORDS) fixed[kind] = BTF_FIXED_WORDS[kind] as number;
    for (const kind in BTF_MEMBER_WORDS) perMember[kind] = BTF_MEMBER_WORDS[kind] as number;
    let id = 1;
    for (let at = 0; at + 3 <= words.length; id++) {
      const info = words[at + 1] as number;
      const kind = info >>> 24 & 0x1f;
      if (kind === 0 || kind > KIND.enum64) return { unsupported: `BTF with a type of kind ${kind}` };
      typeAt[id] = at;
      if (kind === KIND.struct || kind === KIND.union) {
        const name = wanted.match(words[at] as number);
        if (name !== undefined) note(found, name, at);
      }
      at += 3 + (fixed[kind] as number) + (perMember[kind] as number) * (info & 0xffff);
      if (at > words.length) return { unsupported: "BTF that is cut short" };
    }
    return new Btf(words, strings, typeAt.subarray(0, id), found);
  }

  /** Byte offset of a structure's field, anonymous members followed; undefined when there is none. */
  offsetOf(struct: string, field: string): number | undefined {
    const budget = { members: MAX_BTF_MEMBERS };
    for (const at of this.#structs.get(struct) ?? []) {
      const bits = this.#find(at, new NameFilter(this.#strings, [field]), 0, budget);
      if (bits !== undefined) return bits >>> 3;
    }
    return undefined;
  }

  /** Size of a structure in bytes; undefined when there is none. */
  sizeOf(struct: string): number | undefined {
    const at = this.#structs.get(struct)?.[0];
    return at === undefined ? undefined : this.#words[at + 2];
  }

  /**
   * Bit offset of the field in the record at `at`, or undefined. A structure whose nameless members are
   * itself would be looked at for ever: the members are counted.
   */
  #find(at: number, field: NameFilter, depth: number, budget: { members: number }): number | undefined {
    if (depth > MAX_BTF_DEPTH) return undefined;
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
      const inner = this.#typeAt[words[member + 1] as number];
      if (inner === undefined) continue;
      const kind = (words[inner + 1] as number) >>> 24 & 0x1f;
      if (kind !== KIND.struct && kind !== KIND.union) continue;
      const within = this.#find(inner, field, depth + 1, budget);
      if (within !== undefined) return bits + within;
    }
    return undefined;
  }
}

/** The two sections of a table of at least 24 bytes: its records, and its strings. */
export function btfSections(
  bytes: Uint8Array<ArrayBuffer>,
): { readonly words: Int32Array; readonly strings: Uint8Array } | { readonly unsupported: string } {
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
