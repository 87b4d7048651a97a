/**
 * Looks up a few symbols in kallsyms without decoding the names: a name has only one encoding there
 * (kallsyms_tokens.ts), and libc finds those bytes in a few hundredths of the time that a new process needs
 * to decode a hundred thousand names. The markers after the names, which give the offset of every 256th one,
 * show whether a match is a name, and which.
 *
 * It works only if everything is regular: the names contiguous in mapped RAM held by the host, and all
 * requested ones among them. Otherwise it says so, and kallsyms.ts takes the slow path.
 * @module
 */
import { MAX_KALLSYMS } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import { mappedBytes } from "../mapped_bytes.ts";
import { addressFormat, boundOfNames, type KallsymsPlaces, symbolAddress } from "./kallsyms.ts";
import { TokenTable } from "./kallsyms_tokens.ts";

/** Names a marker. */
const MARKED = 256;
const ALIGN = 8;
/** Bytes a name of the table of their order, which stands behind the markers since 6.2. */
const ORDER_BYTES = 3;
/** The types that the symbols of a kernel's image have; those of a name that says so come first. */
const TYPES = "DTRdtrBbA";
/** Number of false matches after which the slow path is faster. */
const MAX_FALSE = 32;

/**
 * Addresses of symbols.
 *
 * @param space the kernel's address space
 * @param places where the tables are
 * @param wanted their names
 * @returns undefined when one was not found this way
 */
export function quickSymbols(
  space: AddressSpace,
  places: KallsymsPlaces,
  wanted: readonly string[],
): Map<string, number> | undefined {
  const count = space.readU32(places.count);
  const base = places.relativeBase === undefined ? 0 : space.readS64(places.relativeBase);
  if (!(count > 0 && count <= MAX_KALLSYMS) || Number.isNaN(base)) return undefined;
  const names = Names.of(space, places, count);
  if (names === undefined) return undefined;
  const offsetAt = (index: number): number => space.readS32(places.offsets, index * 4);
  const stext = names.find("_stext");
  const format = stext === undefined ? undefined : addressFormat(places, base, stext, offsetAt(stext));
  if (format === undefined) return undefined;
  const found = new Map<string, number>();
  for (const name of wanted) {
    const index = names.find(name);
    const offset = index === undefined ? NaN : offsetAt(index);
    if (index === undefined || Number.isNaN(offset)) return undefined;
    found.set(name, symbolAddress(format, places, base, index, offset));
  }
  return found;
}

/** The names, where they lie. */
class Names {
  readonly #bytes: Uint8Array;
  readonly #tokens: TokenTable;
  readonly #markers: Uint32Array;
  readonly #count: number;
  readonly #find: (from: number, pattern: Uint8Array) => number;
  /** Where the one before was found. */
  #last = 0;

  private constructor(
    bytes: Uint8Array,
    tokens: TokenTable,
    markers: Uint32Array,
    count: number,
    find: (from: number, pattern: Uint8Array) => number,
  ) {
    this.#bytes = bytes;
    this.#tokens = tokens;
    this.#markers = markers;
    this.#count = count;
    this.#find = find;
  }

  static of(space: AddressSpace, places: KallsymsPlaces, count: number): Names | undefined {
    const bound = boundOfNames(places);
    const markers = readMarkers(space, places.names, bound, count);
    if (markers === undefined) return undefined;
    const bytes = mappedBytes(space, places.names, markers.namesBytes);
    const tokens = TokenTable.read(space, places);
    const { port } = space.memory;
    if (bytes === undefined || tokens === undefined || port.find === undefined) return undefined;
    const find = (from: number, pattern: Uint8Array): number =>
      port.find?.(bytes.buffer, bytes.byteOffset + from, bytes.length - from, pattern) ?? -1;
    return new Names(bytes, tokens, markers.markers, count, find);
  }

  /** The number of the symbol of that name. Those of one place in the image lie together. */
  find(name: string): number | undefined {
    for (const type of likelyTypes(name)) {
      const codes = this.#tokens.encode(type + name);
      // A longer one has a length of two bytes.
      if (codes === undefined || codes.length > 0x7f) continue;
      const pattern = new Uint8Array(codes.length + 1);
      pattern[0] = codes.length;
      pattern.set(codes, 1);
      const index = this.#findFrom(this.#last, pattern) ?? this.#findFrom(0, pattern);
      if (index !== undefined) return index;
    }
    return undefined;
  }

  #findFrom(from: number, pattern: Uint8Array): number | undefined {
    for (let i = 0; i < MAX_FALSE && from < this.#bytes.length; i++) {
      const at = this.#find(from, pattern);
      if (at < 0) return undefined;
      from += at;
      const index = this.#indexOf(from);
      if (index !== undefined) {
        this.#last = from;
        return index;
      }
      from++;
    }
    return undefined;
  }

  /** The number of the name that starts there; undefined when none does. */
  #indexOf(place: number): number | undefined {
    const bytes = this.#bytes;
    let low = 0;
    let high = this.#markers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#markers[middle] as number) <= place) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return undefined;
    let at = this.#markers[low - 1] as number;
    const first = (low - 1) * MARKED;
    for (let index = first; index < Math.min(this.#count, first + MARKED); index++) {
      if (at >= place) return at === place ? index : undefined;
      const length = bytes[at++] as number;
      at += (length & 0x80) === 0 ? length : (length & 0x7f | (bytes[at] as number) << 7) + 1;
    }
    return undefined;
  }
}

/** The linker's own marks of code are code's, those of a section mostly of constants. */
function likelyTypes(name: string): string {
  const first = /^_s?text$/.test(name) ? "T" : /^__(start|stop)_/.test(name) ? "R" : "D";
  return first + TYPES.replace(first, "");
}

/** The markers, which lie between the names and the next table; and how many bytes the names have at most. */
function readMarkers(
  space: AddressSpace,
  names: number,
  bound: number,
  count: number,
): { readonly markers: Uint32Array; readonly namesBytes: number } | undefined {
  const markers = new Uint32Array(Math.ceil(count / MARKED));
  const bytes = new Uint8Array(markers.buffer);
  for (const behind of [0, aligned(ORDER_BYTES * count)]) {
    const namesBytes = bound - behind - aligned(bytes.length);
    if (namesBytes < 2 * count || space.read(names + namesBytes, bytes) < bytes.length) continue;
    if (markers[0] === 0 && markers.every((at, i) => i === 0 || at > (markers[i - 1] as number) + MARKED)) {
      const last = markers.at(-1) as number;
      if (last < namesBytes) return { markers, namesBytes };
    }
  }
  return undefined;
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGN) * ALIGN;
}
