/**
 * What is needed of a kernel to read its processes: the addresses of a few symbols and the offsets of a few
 * fields.
 *
 * It is made from the kernel's own tables (kallsyms and BTF), not from a file; a profile serves every guest
 * with the same build: it is keyed by BUILD-ID and has addresses without KASLR. It is plain data, which a
 * caller may store as JSON. A profile from outside is checked before it is used.
 * @module
 */
import type { AddressSpace } from "../address_space.ts";
import type { Architecture } from "../paging.ts";
import { Btf } from "./btf.ts";
import { Kallsyms, type KallsymsPlaces } from "./kallsyms.ts";
import { quickSymbols } from "./kallsyms_quick.ts";
import { findKallsyms } from "./kallsyms_search.ts";
import { findBtf, findInitTask } from "./kernel_image.ts";
import type { Vmcoreinfo } from "./vmcoreinfo.ts";

/** A kernel's symbols and offsets. */
export interface KernelProfile {
  /** The build to which it applies. */
  readonly buildId: string;
  /** Addresses without KASLR's offset. */
  readonly symbols: Readonly<Record<string, number>>;
  /** "struct.field" to byte offset, "sizeof struct" to bytes. */
  readonly offsets: Readonly<Record<string, number>>;
  /** Whether it has only what a list of processes needs; the rest is read on demand. */
  readonly partial?: true;
}

/** Symbols without which nothing can be read. */
export const SYMBOLS = ["init_task", "_text", "__start_BTF", "__stop_BTF"] as const;
/** Symbols that a kernel may lack. */
const OPTIONAL_SYMBOLS = [
  "modules",
  "special_mapping_vmops",
  "special_mapping_name",
  "total_forks",
  "vsyscall_mode",
  "gate_vma",
  "anon_inodefs_dentry_operations",
  "anon_inodefs_dname",
] as const;

/** Whether a profile includes that symbol, if the kernel has it. */
export function isProfileSymbol(name: string): boolean {
  return (SYMBOLS as readonly string[]).includes(name) ||
    (OPTIONAL_SYMBOLS as readonly string[]).includes(name);
}

/** Fields without which processes cannot be listed. */
export const FIELDS = [
  "task_struct.tasks",
  "task_struct.pid",
  "task_struct.tgid",
  "task_struct.comm",
  "task_struct.mm",
  "task_struct.real_parent",
  "mm_struct.pgd",
] as const;

/** Fields that a list of processes with their command lines asks for beside those. */
const LIST_FIELDS = [
  "task_struct.flags",
  "task_struct.worker_private",
  "kthread.full_name",
  "mm_struct.arg_start",
  "mm_struct.arg_end",
] as const satisfies readonly OptionalField[];

/** Fields that some versions lack, or that only one query needs, which reports their absence. */
export const OPTIONAL_FIELDS = [
  "task_struct.flags",
  "task_struct.worker_private",
  "task_struct.stack",
  "task_struct.on_cpu",
  "task_struct.signal",
  "task_struct.thread_node",
  "task_struct.thread",
  "signal_struct.thread_head",
  "thread_struct.fsbase",
  "thread_struct.gsbase",
  "thread_struct.uw",
  "mm_struct.saved_auxv",
  "kthread.flags",
  "kthread.full_name",
  "mm_struct.mm_mt",
  "mm_struct.mmap",
  "mm_struct.map_count",
  "mm_struct.arg_start",
  "mm_struct.arg_end",
  "mm_struct.start_brk",
  "mm_struct.brk",
  "mm_struct.start_stack",
  "mm_struct.context",
  "mm_context_t.flags",
  "maple_tree.ma_root",
  "vm_area_struct.vm_start",
  "vm_area_struct.vm_end",
  "vm_area_struct.vm_flags",
  "vm_area_struct.vm_file",
  "vm_area_struct.vm_pgoff",
  "vm_area_struct.vm_mm",
  "vm_area_struct.vm_next",
  "vm_area_struct.vm_ops",
  "vm_area_struct.vm_private_data",
  "vm_area_struct.anon_name",
  "anon_vma_name.name",
  "vm_special_mapping.name",
  "vm_operations_struct.name",
  "file.f_path",
  "path.mnt",
  "path.dentry",
  "dentry.d_parent",
  "dentry.d_name",
  "dentry.d_hash",
  "dentry.d_op",
  "dentry_operations.d_dname",
  "qstr.name",
  "mount.mnt",
  "mount.mnt_parent",
  "mount.mnt_mountpoint",
  "vfsmount.mnt_root",
  "module.list",
  "module.mkobj",
  "module_kobject.mod",
  "module.name",
  "module.mem",
  "module_memory.base",
  "module_memory.size",
  "module.core_layout",
  "module.init_layout",
  "module_layout.base",
  "module_layout.size",
] as const;
const SIZES = ["module", "pt_regs", "module_memory"] as const;

/**
 * Fields whose structure exists only in kernels with another field (or processor): without that they would be
 * searched in the whole table.
 */
const ONLY_WITH: Readonly<Partial<Record<string, OptionalField | Architecture>>> = {
  "maple_tree.ma_root": "mm_struct.mm_mt",
  "anon_vma_name.name": "vm_area_struct.anon_name",
  "module_memory.base": "module.mem",
  "module_memory.size": "module.mem",
  "sizeof module_memory": "module.mem",
  "module_layout.base": "module.core_layout",
  "module_layout.size": "module.core_layout",
  "thread_struct.fsbase": "x86-64",
  "thread_struct.gsbase": "x86-64",
  "thread_struct.uw": "aarch64",
};

const NO_STEXT = "its VMCOREINFO note does not tell where _stext is";
const NO_BTF =
  "it was built without BTF (CONFIG_DEBUG_INFO_BTF), and where its structures have their fields is not known without";

/** A field that every profile has. */
export type RequiredField = (typeof FIELDS)[number];
/** A field that a profile may have. */
export type OptionalField = (typeof OPTIONAL_FIELDS)[number];

/** A profile, and the symbol table when the kernel has one. */
export type ProfileResult =
  | { readonly ok: true; readonly profile: KernelProfile; readonly table: Kallsyms | undefined }
  | { readonly ok: false; readonly unsupported: string };

/**
 * Where kallsyms' tables are: from the note, or (kernels before 6.0) found in the image.
 *
 * @param space the kernel's address space
 * @param note its note
 * @param search whether to look for what the note does not tell
 * @returns the places, or why there are none
 */
export function kallsymsPlaces(
  space: AddressSpace,
  note: Vmcoreinfo,
  search = true,
): KallsymsPlaces | { readonly unsupported: string } {
  const stext = note.symbol("_stext");
  if (stext === undefined) return { unsupported: NO_STEXT };
  const names = note.symbol("kallsyms_names");
  const count = note.symbol("kallsyms_num_syms");
  const tokenTable = note.symbol("kallsyms_token_table");
  const tokenIndex = note.symbol("kallsyms_token_index");
  const offsets = note.symbol("kallsyms_offsets");
  if (
    names === undefined || count === undefined || tokenTable === undefined || tokenIndex === undefined ||
    offsets === undefined
  ) {
    return (search ? findKallsyms(space, stext) : undefined) ??
      { unsupported: "there is no kallsyms in its image" };
  }
  const relativeBase = note.symbol("kallsyms_relative_base");
  return { names, count, tokenTable, tokenIndex, offsets, stext, relativeBase };
}

/**
 * Makes the part of a kernel's profile that a list of processes needs, without reading all of its tables: a
 * fifth of the time of the whole one in a new process.
 *
 * @returns undefined if that is not possible: {@linkcode readProfile} says why
 */
export function readListProfile(space: AddressSpace, note: Vmcoreinfo): KernelProfile | undefined {
  const places = kallsymsPlaces(space, note, false);
  if ("unsupported" in places) return undefined;
  const found = quickSymbols(space, places, ["_text", "__start_BTF", "__stop_BTF", "init_task"]);
  const [start, stop] = [found?.get("__start_BTF"), found?.get("__stop_BTF")];
  if (found === undefined || start === undefined || stop === undefined) return undefined;
  const fields = [...FIELDS, ...LIST_FIELDS];
  const btf = Btf.load(space, start, stop, structsOf(fields));
  if ("unsupported" in btf) return undefined;
  const profile = checkProfile({
    buildId: note.line("BUILD-ID") ?? "",
    symbols: symbolsOf(found, note),
    offsets: offsetsOf(btf, fields, () => true),
    partial: true,
  });
  return typeof profile === "string" ? undefined : profile;
}

/**
 * Makes a kernel's profile from its own tables. What its symbols do not name (a kernel without
 * CONFIG_KALLSYMS_ALL has only those of functions, one without kallsyms none) is searched in its image.
 */
export function readProfile(space: AddressSpace, note: Vmcoreinfo): ProfileResult {
  const places = kallsymsPlaces(space, note);
  const loaded = "unsupported" in places
    ? places
    : Kallsyms.load(space, places, [...SYMBOLS, ...OPTIONAL_SYMBOLS]);
  const table = "unsupported" in loaded ? undefined : loaded.table;
  const found = "unsupported" in loaded ? new Map<string, number>() : loaded.found;
  const stext = note.symbol("_stext");
  if (stext === undefined) return { ok: false, unsupported: NO_STEXT };
  if (!found.has("_text")) found.set("_text", stext);
  const btf = readBtf(space, found, stext);
  if ("unsupported" in btf) {
    const why = "unsupported" in loaded ? `${loaded.unsupported}; ${btf.unsupported}` : btf.unsupported;
    return { ok: false, unsupported: why };
  }
  const isAsked = (name: string, known: Readonly<Record<string, number>>): boolean => {
    const only = ONLY_WITH[name];
    return only === undefined || only === space.paging.architecture || known[only] !== undefined;
  };
  const offsets = offsetsOf(btf, [...FIELDS, ...OPTIONAL_FIELDS], isAsked);
  for (const name of SIZES) {
    const size = isAsked(`sizeof ${name}`, offsets) ? btf.sizeOf(name) : undefined;
    if (size !== undefined) offsets[`sizeof ${name}`] = size;
  }
  if (!found.has("init_task")) {
    const [comm = 0, pid = 0, tasks = 0] = [
      offsets["task_struct.comm"],
      offsets["task_struct.pid"],
      offsets["task_struct.tasks"],
    ];
    const first = findInitTask(space, stext, { comm, pid, tasks });
    if (first !== undefined) found.set("init_task", first);
  }
  const symbols = symbolsOf(found, note);
  const profile = checkProfile({ buildId: note.line("BUILD-ID") ?? "", symbols, offsets });
  return typeof profile === "string" ? { ok: false, unsupported: profile } : { ok: true, profile, table };
}

/** Addresses without KASLR's offset. */
function symbolsOf(found: ReadonlyMap<string, number>, note: Vmcoreinfo): Record<string, number> {
  const symbols: Record<string, number> = {};
  for (const [name, address] of found) symbols[name] = address - note.kernelOffset;
  return symbols;
}

function offsetsOf(
  btf: Btf,
  fields: readonly string[],
  isAsked: (name: string, known: Readonly<Record<string, number>>) => boolean,
): Record<string, number> {
  const offsets: Record<string, number> = {};
  for (const name of fields) {
    const dot = name.indexOf(".");
    const offset = isAsked(name, offsets) ? btf.offsetOf(name.slice(0, dot), name.slice(dot + 1)) : undefined;
    if (offset !== undefined) offsets[name] = offset;
  }
  return offsets;
}

function structsOf(fields: readonly string[]): string[] {
  return [...new Set(fields.map((field) => field.slice(0, field.indexOf("."))))];
}

/** The kernel's types; notes in `found` where they are. */
function readBtf(
  space: AddressSpace,
  found: Map<string, number>,
  stext: number,
): Btf | { readonly unsupported: string } {
  let start = found.get("__start_BTF");
  let stop = found.get("__stop_BTF");
  if (start === undefined || stop === undefined) {
    const btf = findBtf(space, stext);
    if (btf === undefined) return { unsupported: NO_BTF };
    ({ start, stop } = btf);
    found.set("__start_BTF", start);
    found.set("__stop_BTF", stop);
  }
  const structs = new Set<string>([...SIZES, ...structsOf([...FIELDS, ...OPTIONAL_FIELDS])]);
  return Btf.load(space, start, stop, [...structs]);
}

/**
 * Checks a profile from any origin (a cache file is input like any other).
 *
 * @returns the profile, or what is wrong with it
 */
export function checkProfile(value: unknown): KernelProfile | string {
  if (typeof value !== "object" || value === null) return "it is not a profile";
  const { buildId, symbols, offsets, partial } = value as Partial<Record<keyof KernelProfile, unknown>>;
  if (typeof buildId !== "string" || !isNumbers(symbols) || !isNumbers(offsets)) return "it is not a profile";
  for (const name of SYMBOLS) if (symbols[name] === undefined) return `it has no symbol ${name}`;
  for (const name of FIELDS) if (offsets[name] === undefined) return `its BTF has no ${name}`;
  for (const name in offsets) {
    const offset = offsets[name] as number;
    if (!(offset >= 0 && offset < 65_536)) return `its ${name} is at ${offset}`;
  }
  return { buildId, symbols, offsets, ...partial === true ? { partial } : {} };
}

function isNumbers(value: unknown): value is Record<string, number> {
  return typeof value === "object" && value !== null &&
    Object.values(value).every((number) => Number.isSafeInteger(number));
}
