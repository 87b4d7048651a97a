/**
 * All types of a kernel, from its BTF: shown by `mem type`, and used for the offsets of the less frequent
 * readers (log, descriptors, sockets, mounts).
 *
 * btf.ts looks up a few fields fast, for a profile; this keeps the whole table, loaded at first use. The
 * table comes from the guest: every id, name and length in it is checked where it is used, and chains and
 * depths are bounded.
 * @module
 */
import { MAX_BTF_BYTES, MAX_BTF_DEPTH, MAX_TYPE_MEMBERS } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import { readBulk } from "../bulk_read.ts";
import { BTF_FIXED_WORDS, BTF_MEMBER_WORDS, btfSections } from "./btf.ts";

/** BTF's kinds. */
export const BTF_KIND = {
  int: 1,
  pointer: 2,
  array: 3,
  struct: 4,
  union: 5,
  enumeration: 6,
  forward: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  func: 12,
  proto: 13,
  variable: 14,
  section: 15,
  float: 16,
  declTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;
const LATIN1 = new TextDecoder("latin1");
const MAX_NAME = 256;
/** Typedefs, qualifiers, pointers and arrays one behind the other. */
const MAX_CHAIN = 32;

/** A member of a structure or union. */
export interface TypeMember {
  /** Its name; "" for a nameless structure or union. */
  readonly name: string;
  /** Number of its type. */
  readonly type: number;
  /** Where it starts, in bits. */
  readonly bits: number;
  /** Its width in bits when it is a bit field, else 0. */
  readonly width: number;
}

/** Where a field lies, and what it is. */
export interface FieldPlace {
  /** Bits from the outermost structure's start. */
  readonly bits: number;
  /** Its width in bits when it is a bit field, else 0. */
  readonly width: number;
  /** Number of its type. */
  readonly type: number;
}

/** The types of one kernel. */
export class KernelTypes {
  readonly #words: Int32Array;
  readonly #strings: Uint8Array;
  readonly #typeAt: Int32Array;
  readonly #byName = new Map<string, number | undefined>();
  readonly #places = new Map<string, FieldPlace | undefined>();

  private constructor(words: Int32Array, strings: Uint8Array, typeAt: Int32Array) {
    this.#words = words;
    this.#strings = strings;
    this.#typeAt = typeAt;
  }

  /**
   * Copies the table out of the guest.
   *
   * @param space the kernel's address space
   * @param start `__start_BTF`
   * @param stop `__stop_BTF`
   */
  static load(
    space: AddressSpace,
    start: number,
    stop: number,
  ): KernelTypes | { readonly unsupported: string } {
    const size = stop - start;
    if (!(size >= 24 && size <= MAX_BTF_BYTES)) return { unsupported: `BTF of ${size} bytes` };
    const bytes = new Uint8Array(Math.ceil(size / 4) * 4);
    if (readBulk(space, start, bytes.subarray(0, size)) < size) {
      return { unsupported: "BTF that cannot be read" };
    }
    return KernelTypes.parse(bytes);
  }

  /** The same for a table that is at hand; at least 24 bytes, a multiple of four. */
  static parse(bytes: Uint8Array<ArrayBuffer>): KernelTypes | { readonly unsupported: string } {
    const sections = btfSections(bytes);
    if ("unsupported" in sections) return sections;
    const { words, strings } = sections;
    const typeAt = new Int32Array(Math.floor(words.length / 3) + 2);
    let id = 1;
    for (let at = 0; at + 3 <= words.length; id++) {
      const info = words[at + 1] as number;
      const kind = info >>> 24 & 0x1f;
      if (kind === 0 || kind > BTF_KIND.enum64) return { unsupported: `BTF with a type of kind ${kind}` };
      typeAt[id] = at;
      at += 3 + (BTF_FIXED_WORDS[kind] ?? 0) + (BTF_MEMBER_WORDS[kind] ?? 0) * (info & 0xffff);
      if (at > words.length) return { unsupported: "BTF that is cut short" };
    }
    return new KernelTypes(words, strings, typeAt.subarray(0, id));
  }

  /** How many types there are; their numbers go from 1 to this one. */
  get count(): number {
    return this.#typeAt.length - 1;
  }

  /** The kind of a type; 0 for void and for a number that no type has. */
  kind(id: number): number {
    const at = this.#at(id);
    return at === undefined ? 0 : (this.#words[at + 1] as number) >>> 24 & 0x1f;
  }

  /** A type's own name; "" when it has none. */
  name(id: number): string {
    const at = this.#at(id);
    return at === undefined ? "" : this.#string(this.#words[at] as number);
  }

  /** Size in bytes where the record tells one (integers, structures, unions, enumerations), else the word. */
  #sizeWord(id: number): number {
    const at = this.#at(id);
    return at === undefined ? 0 : (this.#words[at + 2] as number) >>> 0;
  }

  /** What a pointer, qualifier, typedef or variable refers to; 0 is void. */
  target(id: number): number {
    return this.#sizeWord(id);
  }

  /** Element type and count of an array. */
  array(id: number): { readonly element: number; readonly count: number } {
    const at = this.#at(id);
    if (at === undefined || this.kind(id) !== BTF_KIND.array) return { element: 0, count: 0 };
    return { element: (this.#words[at + 3] as number) >>> 0, count: (this.#words[at + 5] as number) >>> 0 };
  }

  /** Whether an integer is signed, and whether it is a character or a truth value. */
  integer(id: number): { readonly signed: boolean; readonly char: boolean; readonly bool: boolean } {
    const at = this.#at(id);
    const encoding = at === undefined || this.kind(id) !== BTF_KIND.int
      ? 0
      : (this.#words[at + 3] as number) >>> 24 & 0xf;
    return { signed: (encoding & 1) !== 0, char: (encoding & 2) !== 0, bool: (encoding & 4) !== 0 };
  }

  /** The type behind typedefs and qualifiers; 0 (void) when the chain does not end. */
  plain(id: number): number {
    for (let i = 0; i < MAX_CHAIN; i++) {
      switch (this.kind(id)) {
        case BTF_KIND.typedef:
        case BTF_KIND.volatile:
        case BTF_KIND.const:
        case BTF_KIND.restrict:
        case BTF_KIND.typeTag:
          id = this.target(id);
          continue;
      }
      return id;
    }
    return 0;
  }

  /** Size of a type in bytes; 0 for void, functions and what is nested too deeply. */
  size(id: number): number {
    let times = 1;
    for (let i = 0; i < MAX_BTF_DEPTH; i++) {
      id = this.plain(id);
      switch (this.kind(id)) {
        case BTF_KIND.int:
        case BTF_KIND.struct:
        case BTF_KIND.union:
        case BTF_KIND.enumeration:
        case BTF_KIND.enum64:
        case BTF_KIND.float:
          return times * this.#sizeWord(id);
        case BTF_KIND.pointer:
          return times * 8;
        case BTF_KIND.array: {
          const { element, count } = this.array(id);
          times *= count;
          id = element;
          continue;
        }
      }
      return 0;
    }
    return 0;
  }

  /** How many members a structure or union has; 0 for other types. */
  memberCount(id: number): number {
    const at = this.#at(id);
    const kind = this.kind(id);
    if (at === undefined || (kind !== BTF_KIND.struct && kind !== BTF_KIND.union)) return 0;
    return (this.#words[at + 1] as number) & 0xffff;
  }

  /**
   * Members of a structure or union, in order; generated one by one, so that a caller that stops early pays
   * for few.
   */
  *members(id: number): Generator<TypeMember> {
    const count = this.memberCount(id);
    const at = this.#at(id) ?? 0;
    const isWithBits = (this.#words[at + 1] as number) < 0;
    for (let i = 0, member = at + 3; i < count; i++, member += 3) {
      const raw = (this.#words[member + 2] as number) >>> 0;
      const name = this.#string(this.#words[member] as number);
      const type = (this.#words[member + 1] as number) >>> 0;
      yield isWithBits
        ? { name, type, bits: raw & 0xff_ffff, width: raw >>> 24 }
        : { name, type, bits: raw, width: 0 };
    }
  }

  /** Names and values of an enumeration. */
  enumerators(id: number): readonly { readonly name: string; readonly value: number }[] {
    const at = this.#at(id);
    const kind = this.kind(id);
    if (at === undefined || (kind !== BTF_KIND.enumeration && kind !== BTF_KIND.enum64)) return [];
    const info = this.#words[at + 1] as number;
    const step = kind === BTF_KIND.enum64 ? 3 : 2;
    return Array.from({ length: info & 0xffff }, (_, i) => {
      const entry = at + 3 + i * step;
      const low = this.#words[entry + 1] as number;
      const high = step === 3 ? (this.#words[entry + 2] as number) * 2 ** 32 : 0;
      const isSigned = info < 0;
      const value = step === 3 ? high + (low >>> 0) : isSigned ? low : low >>> 0;
      return { name: this.#string(this.#words[entry] as number), value };
    });
  }

  /**
   * The number of a structure, union, enumeration, typedef or integer by name: "task_struct", "struct
   * task_struct", "u64". A structure that is only declared is not found.
   */
  find(name: string): number | undefined {
    if (!this.#byName.has(name)) this.#byName.set(name, this.#look(name));
    return this.#byName.get(name);
  }

  /**
   * Where "struct.field.field" lies: nested and nameless members are followed, pointers are not. Undefined
   * when this kernel has no such field.
   */
  place(path: string): FieldPlace | undefined {
    if (!this.#places.has(path)) this.#places.set(path, this.#resolve(path));
    return this.#places.get(path);
  }

  /** Byte offset of "struct.field", as {@linkcode KernelTypes.place} finds it. */
  at(path: string): number | undefined {
    const place = this.place(path);
    return place === undefined ? undefined : Math.floor(place.bits / 8);
  }

  /** The first of several fields that this kernel has: a field's name changes over the years. */
  any(...paths: readonly string[]): number | undefined {
    for (const path of paths) {
      const at = this.at(path);
      if (at !== undefined) return at;
    }
    return undefined;
  }

  #resolve(path: string): FieldPlace | undefined {
    const [struct = "", ...fields] = path.split(".");
    let type = this.find(struct);
    if (type === undefined || fields.length > MAX_BTF_DEPTH) return undefined;
    let bits = 0;
    let width = 0;
    for (const field of fields) {
      const member = this.#member(this.plain(type), field, 0, { members: MAX_TYPE_MEMBERS });
      if (member === undefined) return undefined;
      bits += member.bits;
      ({ type, width } = member);
    }
    return { bits, width, type };
  }

  #member(id: number, field: string, depth: number, budget: { members: number }): FieldPlace | undefined {
    if (depth > MAX_BTF_DEPTH) return undefined;
    for (const { name, type, bits, width } of this.members(id)) {
      if (--budget.members < 0) return undefined;
      if (name === field) return { bits, width, type };
      if (name !== "") continue;
      const within = this.#member(this.plain(type), field, depth + 1, budget);
      if (within !== undefined) return { ...within, bits: bits + within.bits };
    }
    return undefined;
  }

  #look(wanted: string): number | undefined {
    const [, keyword, name = ""] = /^(?:(struct|union|enum) +)?(.*)$/s.exec(wanted) ?? [];
    if (name === "" || name.length > MAX_NAME) return undefined;
    const strings = this.#strings;
    const first = name.charCodeAt(0);
    for (let id = 1; id < this.#typeAt.length; id++) {
      const at = this.#words[this.#typeAt[id] as number] as number;
      if (strings[at] !== first || strings[at + name.length] !== 0) continue;
      const kind = this.kind(id);
      const fits = keyword === "struct"
        ? kind === BTF_KIND.struct
        : keyword === "union"
        ? kind === BTF_KIND.union
        : keyword === "enum"
        ? kind === BTF_KIND.enumeration || kind === BTF_KIND.enum64
        : kind === BTF_KIND.int || kind === BTF_KIND.struct || kind === BTF_KIND.union ||
          kind === BTF_KIND.enumeration || kind === BTF_KIND.enum64 || kind === BTF_KIND.typedef ||
          kind === BTF_KIND.float;
      if (fits && this.#string(at) === name) return id;
    }
    return undefined;
  }

  #at(id: number): number | undefined {
    return id > 0 ? this.#typeAt[id] : undefined;
  }

  #string(at: number): string {
    const strings = this.#strings;
    if (!(at > 0 && at < strings.length)) return "";
    const end = strings.indexOf(0, at);
    return LATIN1.decode(strings.subarray(at, Math.min(end < 0 ? strings.length : end, at + MAX_NAME)));
  }
}
