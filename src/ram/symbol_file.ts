/**
 * A kernel's symbols as an ELF file (System V ABI; x86-64 and arm64) for debuggers: names and addresses, with
 * code and data distinguished, and without contents, which the debugger reads from the guest itself.
 *
 * Names come from the guest: those that cannot be a symbol's name are omitted, because a debugger prints them
 * unescaped.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { CoreMachine } from "./core_layout.ts";

const HEADER_BYTES = 64;
const SECTION_BYTES = 64;
const SYMBOL_BYTES = 24;
const ET_EXEC = 2;
const MACHINES: Readonly<Record<CoreMachine, number>> = { "x86-64": 62, aarch64: 183 };
const SHT = { symbols: 2, strings: 3, nothing: 8 } as const;
const SHF = { write: 1, allocated: 2, code: 4 } as const;
const STB_GLOBAL = 1 << 4;
const NAMES = ["", ".text", ".data", ".symtab", ".strtab", ".shstrtab"] as const;
const IS_NAME = /^[!-~]{1,511}$/;

/** The file, and its number of symbols. */
export interface SymbolFile {
  /** The whole file. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Number of symbols. */
  readonly count: number;
}

/** A symbol with its address as an unsigned 64-bit number. */
interface Placed {
  readonly name: string;
  readonly address: bigint;
}

/** A section's header without its name. */
interface Section {
  readonly type: number;
  readonly flags?: number;
  readonly address?: bigint;
  readonly offset?: number;
  readonly size: number;
  readonly link?: number;
  readonly info?: number;
  readonly entryBytes?: number;
}

/**
 * Makes the file.
 *
 * @param symbols address (signed, src/base/ids.ts) by name; those outside the kernel's half (per-CPU offsets)
 *   are omitted
 * @param codeEnd the end of code and start of data: `_etext`
 */
export function symbolFile(
  symbols: ReadonlyMap<string, number>,
  codeEnd: number | undefined,
  machine: CoreMachine,
): SymbolFile {
  const placed: Placed[] = [];
  for (const [name, address] of symbols) {
    if (address < 0 && IS_NAME.test(name)) {
      placed.push({ name, address: BigInt.asUintN(64, BigInt(address)) });
    }
  }
  placed.sort((a, b) => a.address < b.address ? -1 : a.address > b.address ? 1 : 0);
  const first = placed[0]?.address ?? 0n;
  const end = (placed.at(-1)?.address ?? 0n) + 1n;
  const border = codeEnd === undefined ? end : BigInt.asUintN(64, BigInt(codeEnd));
  const middle = border < first ? first : border > end ? end : border;
  const table = new Uint8Array(SYMBOL_BYTES * (placed.length + 1));
  const strings = putSymbols(new DataView(table.buffer), placed, middle);
  const names = new TextEncoder().encode(NAMES.join("\0") + "\0");
  const tableAt = HEADER_BYTES + SECTION_BYTES * NAMES.length;
  const stringsAt = tableAt + table.length;
  const namesAt = stringsAt + strings.length;
  const bytes = new Uint8Array(namesAt + names.length);
  const view = new DataView(bytes.buffer);
  putHeader(view, machine);
  const { allocated, code, write } = SHF;
  const sections: readonly Section[] = [
    { type: 0, size: 0 },
    { type: SHT.nothing, flags: allocated | code, address: first, size: Number(middle - first) },
    { type: SHT.nothing, flags: allocated | write, address: middle, size: Number(end - middle) },
    // One local symbol, the empty one; names are in the section that follows.
    { type: SHT.symbols, offset: tableAt, size: table.length, link: 4, info: 1, entryBytes: SYMBOL_BYTES },
    { type: SHT.strings, offset: stringsAt, size: strings.length },
    { type: SHT.strings, offset: namesAt, size: names.length },
  ];
  let nameAt = 0;
  sections.forEach((section, i) => {
    putSection(view, HEADER_BYTES + SECTION_BYTES * i, nameAt, section);
    nameAt += (NAMES[i] as string).length + 1;
  });
  bytes.set(table, tableAt);
  bytes.set(strings, stringsAt);
  bytes.set(names, namesAt);
  assert(nameAt === names.length, "each section has its name");
  return { bytes, count: placed.length };
}

/** Fills the table, whose first entry stays empty; the names. */
function putSymbols(view: DataView, placed: readonly Placed[], middle: bigint): Uint8Array {
  let at = 1;
  placed.forEach(({ name, address }, i) => {
    const entry = SYMBOL_BYTES * (i + 1);
    view.setUint32(entry, at, true);
    view.setUint8(entry + 4, STB_GLOBAL);
    view.setUint16(entry + 6, address < middle ? 1 : 2, true);
    view.setBigUint64(entry + 8, address, true);
    at += name.length + 1;
  });
  return new TextEncoder().encode("\0" + placed.map(({ name }) => name + "\0").join(""));
}

function putHeader(view: DataView, machine: CoreMachine): void {
  // Magic, 64 bits, little-endian, version 1, System V.
  [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1].forEach((byte, i) => view.setUint8(i, byte));
  view.setUint16(16, ET_EXEC, true);
  view.setUint16(18, MACHINES[machine], true);
  view.setUint32(20, 1, true);
  view.setBigUint64(40, BigInt(HEADER_BYTES), true);
  view.setUint16(52, HEADER_BYTES, true);
  view.setUint16(58, SECTION_BYTES, true);
  view.setUint16(60, NAMES.length, true);
  view.setUint16(62, NAMES.length - 1, true);
}

function putSection(view: DataView, at: number, nameAt: number, section: Section): void {
  view.setUint32(at, nameAt, true);
  view.setUint32(at + 4, section.type, true);
  view.setBigUint64(at + 8, BigInt(section.flags ?? 0), true);
  view.setBigUint64(at + 16, section.address ?? 0n, true);
  view.setBigUint64(at + 24, BigInt(section.offset ?? 0), true);
  view.setBigUint64(at + 32, BigInt(section.size), true);
  view.setUint32(at + 40, section.link ?? 0, true);
  view.setUint32(at + 44, section.info ?? 0, true);
  view.setBigUint64(at + 48, 1n, true);
  view.setBigUint64(at + 56, BigInt(section.entryBytes ?? 0), true);
}
