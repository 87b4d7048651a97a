/**
 * The symbols of loaded modules, as in /proc/kallsyms after the kernel's own: each module has an ELF symbol
 * table (`struct mod_kallsyms`), uncompressed, with relocated addresses.
 *
 * Nothing is cached, because modules come and go. Everything comes from the guest: the number of symbols and
 * the bytes of names are bounded over all modules of one look-up.
 * @module
 */
import { textOfBytes } from "../../base/byte_text.ts";
import { MAX_KALLSYMS, MAX_KALLSYMS_BYTES, MAX_SYMBOL_BYTES } from "../../base/limits.ts";
import type { NearestSymbol } from "../guest_os.ts";
import type { KernelTypes } from "./kernel_types.ts";
import type { KernelView } from "./kernel_view.ts";
import { moduleObjects, type ModuleRegion, moduleRegions, NAME_BYTES } from "./module_list.ts";

/** Elf64_Sym: name, info, other, section, value, size. */
const ENTRY_BYTES = 24;
const SECTION_AT = 6;
const VALUE_AT = 8;
const UNDEFINED_SECTION = 0;
/** Read at once: entries of a table, bytes of names. */
const CHUNK_ENTRIES = 4096;
/** Names that mark code and data of arm64 rather than naming it: "$x", "$d.1". */
const DOLLAR = 0x24;

/** Where a kernel's structures have what is needed. */
interface SymbolFields {
  readonly kallsyms: number;
  readonly table: number;
  readonly count: number;
  readonly strings: number;
}

/** The limits of one look-up. */
interface Budget {
  symbols: number;
  bytes: number;
}

/** One module's table, copied. */
interface SymbolTable {
  readonly module: string;
  readonly regions: readonly ModuleRegion[];
  readonly entries: DataView;
  readonly strings: Uint8Array;
}

/** Looks symbols of modules up. */
export class ModuleSymbols {
  readonly #view: KernelView;
  readonly #fields: SymbolFields | undefined;

  /**
   * Looks the fields up.
   *
   * @param view the kernel
   * @param types its types
   */
  constructor(view: KernelView, types: KernelTypes) {
    this.#view = view;
    const [kallsyms, table, count, strings] = [
      types.at("module.kallsyms"),
      types.at("mod_kallsyms.symtab"),
      types.at("mod_kallsyms.num_symtab"),
      types.at("mod_kallsyms.strtab"),
    ];
    this.#fields =
      kallsyms === undefined || table === undefined || count === undefined || strings === undefined
        ? undefined
        : { kallsyms, table, count, strings };
  }

  /**
   * Address of a symbol: "name" of the first module that has it, in the order of the kernel's list, or
   * "module:name".
   *
   * @param head address of the kernel's list of modules
   * @param name the symbol
   */
  find(head: number, name: string): number | undefined {
    const [, wanted, own = name] = /^([^:]+):(.+)$/s.exec(name) ?? [];
    if (own.length > MAX_SYMBOL_BYTES) return undefined;
    const bytes = new TextEncoder().encode(own);
    const tables = this.#tables(head, ({ name }) => wanted === undefined || name === wanted);
    for (const { entries, strings } of tables) {
      for (let at = 0; at < entries.byteLength; at += ENTRY_BYTES) {
        const value = valueAt(entries, at);
        if (value !== undefined && isText(strings, entries.getUint32(at, true), bytes)) return value;
      }
    }
    return undefined;
  }

  /**
   * The last symbol at or below an address, within the part of the module that contains it: a symbol in its
   * code says nothing about its data.
   *
   * @param head address of the kernel's list of modules
   * @param address the address
   */
  nearest(head: number, address: number): NearestSymbol | undefined {
    const holds = ({ base, sizeBytes }: ModuleRegion) => address >= base && address < base + sizeBytes;
    const tables = this.#tables(head, ({ regions }) => regions.some(holds));
    for (const { module, regions, entries, strings } of tables) {
      const region = regions.find(holds);
      if (region === undefined) continue;
      let best: { readonly name: string; readonly address: number } | undefined;
      for (let at = 0; at < entries.byteLength; at += ENTRY_BYTES) {
        const value = valueAt(entries, at);
        if (value === undefined || value > address || value < region.base) continue;
        // Of several names of one address the first one counts, as in the kernel's own messages.
        if (best !== undefined && value <= best.address) continue;
        const name = textAt(strings, entries.getUint32(at, true));
        if (name !== "") best = { name, address: value };
      }
      return best === undefined ? undefined : { ...best, module, offsetBytes: address - best.address };
    }
    return undefined;
  }

  *#tables(
    head: number,
    isWanted: (module: { readonly name: string; readonly regions: readonly ModuleRegion[] }) => boolean,
  ): Generator<SymbolTable> {
    const nameAt = this.#view.maybe("module.name");
    if (this.#fields === undefined || nameAt === undefined) return;
    const budget: Budget = { symbols: MAX_KALLSYMS, bytes: MAX_KALLSYMS_BYTES };
    for (const object of moduleObjects(this.#view, head)) {
      const name = this.#view.space.cstring(object + nameAt, NAME_BYTES);
      const regions = moduleRegions(this.#view, object);
      if (name === undefined || regions === undefined || !isWanted({ name, regions })) continue;
      const table = this.#copy(object, this.#fields, budget);
      if (table !== undefined) yield { module: name, regions, ...table };
    }
  }

  #copy(
    object: number,
    { kallsyms, table, count, strings }: SymbolFields,
    budget: Budget,
  ): Pick<SymbolTable, "entries" | "strings"> | undefined {
    const { space } = this.#view;
    const place = this.#view.pointer(object, kallsyms);
    if (place === undefined) return undefined;
    const [entriesAt, stringsAt] = [this.#view.pointer(place, table), space.readS64(place, strings)];
    const told = space.readU32(place, count);
    if (entriesAt === undefined || !(stringsAt < 0) || !(told > 0)) return undefined;
    const size = Math.min(told, budget.symbols) * ENTRY_BYTES;
    const entries = readFrom(this.#view, entriesAt, size, CHUNK_ENTRIES * ENTRY_BYTES);
    const view = new DataView(entries.buffer, 0, entries.length - entries.length % ENTRY_BYTES);
    budget.symbols -= view.byteLength / ENTRY_BYTES;
    let last = 0;
    for (let at = 0; at < view.byteLength; at += ENTRY_BYTES) {
      const name = view.getUint32(at, true);
      // What lies past the bound has no name that is read.
      if (name < budget.bytes) last = Math.max(last, name);
    }
    const wanted = Math.min(last + MAX_SYMBOL_BYTES + 1, budget.bytes);
    const names = readFrom(this.#view, stringsAt, wanted, CHUNK_ENTRIES * ENTRY_BYTES);
    budget.bytes -= names.length;
    return { entries: view, strings: names };
  }
}

/**
 * Reads as far as the guest has memory there, a chunk at a time, so that a false size allocates nothing
 * large.
 */
function readFrom(
  { space }: KernelView,
  start: number,
  sizeBytes: number,
  chunkBytes: number,
): Uint8Array<ArrayBuffer> {
  let bytes = new Uint8Array(Math.min(sizeBytes, chunkBytes));
  let have = 0;
  for (;;) {
    const read = space.read(start + have, bytes, have, bytes.length - have);
    have += read;
    if (have < bytes.length || have === sizeBytes) return bytes.slice(0, have);
    const more = new Uint8Array(Math.min(2 * bytes.length, sizeBytes));
    more.set(bytes);
    bytes = more;
  }
}

/** A defined symbol's address; undefined for one that another module defines. */
function valueAt(entries: DataView, at: number): number | undefined {
  if (entries.getUint16(at + SECTION_AT, true) === UNDEFINED_SECTION) return undefined;
  // The kernel half ends at 2^64: as signed addresses all of it is in order, and exact in its upper part.
  const value = entries.getInt32(at + VALUE_AT + 4, true) * 2 ** 32 + entries.getUint32(at + VALUE_AT, true);
  return value < 0 ? value : undefined;
}

function isText(strings: Uint8Array, at: number, wanted: Uint8Array): boolean {
  if (wanted.length === 0 || strings[at + wanted.length] !== 0) return false;
  for (let i = 0; i < wanted.length; i++) if (strings[at + i] !== wanted[i]) return false;
  return true;
}

function textAt(strings: Uint8Array, at: number): string {
  if (strings[at] === DOLLAR || at >= strings.length) return "";
  const limit = Math.min(strings.length, at + MAX_SYMBOL_BYTES);
  const end = strings.subarray(at, limit).indexOf(0);
  return textOfBytes(strings.subarray(at, end < 0 ? limit : at + end));
}
