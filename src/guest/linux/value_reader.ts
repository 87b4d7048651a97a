/**
 * Values of the kernel's types, read from a running guest: structures, unions, arrays, enumerations, bit
 * fields, texts, and pointers, which are followed on request.
 *
 * A structure is copied as a whole before it is decoded, so its fields are from one moment as far as copying
 * is. Types and memory both come from the guest: nesting, the number of values, followed pointers and bytes
 * are bounded, whatever a type contains; what was visited before is not followed again.
 * @module
 */
import { textOfBytes } from "../../base/byte_text.ts";
import { assert } from "../../base/assert.ts";
import {
  MAX_BTF_DEPTH,
  MAX_FOLLOWED_POINTERS,
  MAX_VALUE_BYTES,
  MAX_VALUE_ELEMENTS,
  MAX_VALUES,
} from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import type { NearestSymbol } from "../guest_os.ts";
import type { MemberValue, PointerValue, TypedValue, ValueOptions } from "../typed_value.ts";
import { BTF_KIND, type KernelTypes } from "./kernel_types.ts";
import { declare } from "./type_text.ts";

/** Bytes of the text behind a pointer to characters. */
const TEXT_BYTES = 256;

/** What it reads with. */
export interface ValueSource {
  /** The kernel's address space. */
  readonly space: AddressSpace;
  /** The kernel's types. */
  readonly types: KernelTypes;
  /** The symbol at an address of the kernel's image. */
  nearestSymbol(address: number): NearestSymbol | undefined;
}

/** A piece of memory, as far as it could be read. */
interface Piece {
  readonly address: number;
  readonly words: DataView;
  /** How many of its bytes there are. */
  readonly have: number;
}

/** Where a value lies, and how it was reached. */
interface Place {
  readonly piece: Piece;
  /** Bytes into the piece. */
  readonly offset: number;
  /** Names of the fields on the way, with dots between them. */
  readonly path: string;
  readonly depth: number;
}

/**
 * Reads a value.
 *
 * @param type the number of its type
 * @param address where it lies
 */
export function readValue(
  source: ValueSource,
  type: number,
  address: number,
  options: ValueOptions = {},
): TypedValue {
  assert(type > 0 && type <= source.types.count, "a value has one of the kernel's types");
  return new ValueReader(source, options.follow ?? []).at(type, address, "", 0);
}

class ValueReader {
  readonly #space: AddressSpace;
  readonly #types: KernelTypes;
  readonly #source: ValueSource;
  readonly #follow: ReadonlySet<string>;
  readonly #seen = new Set<string>();
  /**
   * Cached per type, since thousands of values have a few types, and a hostile type may have a long chain.
   */
  readonly #declared = new Map<number, string>();
  readonly #sizes = new Map<number, number>();
  #values = 0;
  #followed = 0;

  constructor(source: ValueSource, follow: readonly string[]) {
    this.#source = source;
    this.#space = source.space;
    this.#types = source.types;
    this.#follow = new Set(follow);
  }

  /** Copies a value out and takes it apart. */
  at(type: number, address: number, path: string, depth: number): TypedValue {
    this.#seen.add(`${this.#types.plain(type)}@${address}`);
    const size = Math.min(this.#types.size(type), MAX_VALUE_BYTES);
    const bytes = new Uint8Array(size);
    const have = this.#space.read(address, bytes);
    const piece = { address, words: new DataView(bytes.buffer), have };
    return this.#take(type, { piece, offset: 0, path, depth });
  }

  /** The value at a place. */
  #take(type: number, place: Place): TypedValue {
    const types = this.#types;
    const plain = types.plain(type);
    const missing = this.#missing(type, plain, place);
    if (missing !== undefined) return { kind: missing, type: this.#declare(type) };
    switch (types.kind(plain)) {
      case BTF_KIND.struct:
      case BTF_KIND.union:
        return this.#record(type, plain, place);
      case BTF_KIND.array:
        return this.#array(type, plain, place);
      case BTF_KIND.pointer:
        return this.#pointer(type, plain, place);
    }
    return this.#scalar(type, plain, place.piece, place.offset * 8, 0);
  }

  #missing(
    type: number,
    plain: number,
    { piece, offset, depth }: Place,
  ): "too-many" | "too-deep" | "unreadable" | undefined {
    if (++this.#values > MAX_VALUES) return "too-many";
    if (depth > MAX_BTF_DEPTH) return "too-deep";
    const kind = this.#types.kind(plain);
    // A value with members may be readable in part.
    const isWhole = kind === BTF_KIND.struct || kind === BTF_KIND.union || kind === BTF_KIND.array;
    return offset + (isWhole ? 0 : this.#types.size(type)) > piece.have ? "unreadable" : undefined;
  }

  #record(type: number, plain: number, { piece, offset, path, depth }: Place): TypedValue {
    const types = this.#types;
    const members: MemberValue[] = [];
    for (const { name, type: of, bits, width } of types.members(plain)) {
      // A structure may say that it has 65,535 members, and contain itself.
      if (this.#values > MAX_VALUES) break;
      const member = name === "" ? path : path === "" ? name : `${path}.${name}`;
      const value = width === 0
        ? this.#take(of, { piece, offset: offset + Math.floor(bits / 8), path: member, depth: depth + 1 })
        : this.#bitField(of, piece, offset * 8 + bits, width);
      members.push({ name, bits, width, value });
    }
    const kind = types.kind(plain) === BTF_KIND.union ? "union" : "struct";
    return { kind, type: this.#declare(type), address: piece.address + offset, members };
  }

  #array(type: number, plain: number, { piece, offset, path, depth }: Place): TypedValue {
    const types = this.#types;
    const { element, count } = types.array(plain);
    const what = this.#declare(type);
    const size = this.#size(element);
    if (types.name(types.plain(element)) === "char" && size === 1) {
      const have = Math.max(0, Math.min(count, piece.have - offset));
      if (have < count && have === 0) return { kind: "unreadable", type: what };
      return { kind: "text", type: what, text: textOf(bytesAt(piece, offset, have)) };
    }
    const elements: TypedValue[] = [];
    // Elements without a size (an array of itself) have no values either.
    const shown = size === 0 ? 0 : Math.min(count, MAX_VALUE_ELEMENTS);
    for (let i = 0; i < shown && this.#values <= MAX_VALUES; i++) {
      elements.push(this.#take(element, { piece, offset: offset + i * size, path, depth: depth + 1 }));
    }
    return { kind: "array", type: what, count, elements };
  }

  #pointer(type: number, plain: number, { piece, offset, path, depth }: Place): PointerValue {
    const types = this.#types;
    const of = types.target(plain);
    const address = Number(piece.words.getBigInt64(offset, true));
    const nearest = address === 0 ? undefined : this.#source.nearestSymbol(address);
    const past = nearest === undefined || nearest.offsetBytes === 0
      ? ""
      : `+0x${nearest.offsetBytes.toString(16)}`;
    const isText = types.name(types.plain(of)) === "char" && types.size(of) === 1;
    return {
      kind: "pointer",
      type: this.#declare(type),
      address,
      symbol: nearest === undefined ? undefined : `${nearest.name}${past}`,
      text: isText && address !== 0 ? this.#space.cstring(address, TEXT_BYTES) : undefined,
      target: this.#isFollowed(path) && address !== 0 ? this.#targetOf(of, address, path, depth) : undefined,
    };
  }

  #declare(type: number): string {
    let text = this.#declared.get(type);
    if (text === undefined) this.#declared.set(type, text = declare(this.#types, type, ""));
    return text;
  }

  #size(type: number): number {
    let size = this.#sizes.get(type);
    if (size === undefined) this.#sizes.set(type, size = this.#types.size(type));
    return size;
  }

  #isFollowed(path: string): boolean {
    return this.#follow.has(path) || this.#follow.has(path.slice(path.lastIndexOf(".") + 1));
  }

  #targetOf(type: number, address: number, path: string, depth: number): PointerValue["target"] {
    // A pointer to nothing that has a size: void, a function, a structure that is only declared.
    if (this.#types.size(type) === 0) return undefined;
    if (this.#seen.has(`${this.#types.plain(type)}@${address}`)) return "seen";
    if (++this.#followed > MAX_FOLLOWED_POINTERS) return "too-many";
    return this.at(type, address, path, depth + 1);
  }

  #bitField(type: number, piece: Piece, bits: number, width: number): TypedValue {
    const plain = this.#types.plain(type);
    if (++this.#values > MAX_VALUES) return { kind: "too-many", type: this.#declare(type) };
    if (Math.ceil((bits + width) / 8) > piece.have) {
      return { kind: "unreadable", type: this.#declare(type) };
    }
    return this.#scalar(type, plain, piece, bits, width);
  }

  /** A number of `width` bits; 0 is as many as its type has. */
  #scalar(type: number, plain: number, piece: Piece, bits: number, width: number): TypedValue {
    const types = this.#types;
    const what = this.#declare(type);
    const size = types.size(plain);
    const kind = types.kind(plain);
    const isNumber = kind === BTF_KIND.int || kind === BTF_KIND.enumeration || kind === BTF_KIND.enum64;
    if (!isNumber || size > 16) return { kind: "bytes", type: what, bytes: bytesAt(piece, bits / 8, size) };
    const count = width === 0 ? size * 8 : width;
    const raw = bitsAt(piece, bits, count);
    if (kind === BTF_KIND.int) {
      const { signed, bool } = types.integer(plain);
      if (bool) return { kind: "boolean", type: what, value: raw !== 0n };
      return { kind: "integer", type: what, value: signed ? BigInt.asIntN(count, raw) : raw };
    }
    const names = types.enumerators(plain);
    const value = names.some((one) => one.value < 0) ? BigInt.asIntN(count, raw) : raw;
    return {
      kind: "enumeration",
      type: what,
      value,
      name: names.find((one) => BigInt(one.value) === value)?.name,
    };
  }
}

function bytesAt(piece: Piece, offset: number, length: number): Uint8Array {
  const end = Math.min(offset + length, piece.have);
  return new Uint8Array(piece.words.buffer).slice(Math.min(offset, end), end);
}

/** The text of an array of characters: as far as its first NUL. */
function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return textOfBytes(end < 0 ? bytes : bytes.subarray(0, end));
}

/** An unsigned number of `count` bits, from a bit on; all of its bytes are there. */
function bitsAt({ words }: Piece, from: number, count: number): bigint {
  const first = Math.floor(from / 8);
  const last = Math.ceil((from + count) / 8);
  let value = 0n;
  for (let at = last - 1; at >= first; at--) value = value << 8n | BigInt(words.getUint8(at));
  return BigInt.asUintN(count, value >> BigInt(from % 8));
}
