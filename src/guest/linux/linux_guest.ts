/**
 * A Linux guest: the {@linkcode GuestOs} port over its kernel's own structures. Only the note, the profile
 * and, once a symbol is needed that the profile lacks, the symbol table are kept; processes, mappings and
 * modules are read again at each call.
 * @module
 */
import { textOfBytes } from "../../base/byte_text.ts";
import { assert } from "../../base/assert.ts";
import { MAX_COMMAND_LINE_BYTES } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import type { GuestOs, NearestSymbol } from "../guest_os.ts";
import { PTE_NX_HI, PTE_P, PTE_U } from "../paging.ts";
import type { GuestInsight, Unsupported } from "../insight.ts";
import type { Listing, MemoryMap, Module, Process } from "../process.ts";
import { Kallsyms } from "./kallsyms.ts";
import { KernelTypes } from "./kernel_types.ts";
import { KernelView } from "./kernel_view.ts";
import { LinuxInsight } from "./linux_insight.ts";
import { findModuleList, readModules } from "./module_list.ts";
import { ModuleSymbols } from "./module_symbols.ts";
import { kallsymsPlaces, type KernelProfile } from "./profile.ts";
import { TaskList } from "./task_list.ts";
import { readAuxv, readThreads, type ThreadState } from "./thread_list.ts";
import { NOT_IN_RAM, readNote, type Vmcoreinfo } from "./vmcoreinfo.ts";
import { VmaList } from "./vma_list.ts";

/** Number of look-ups of single unknown names before the whole table is decoded into a map. */
const SINGLE_LOOKUPS = 3;
const USER_ENTRIES = 256;
/** Bit 11 of an entry of arm64. */
const ARM64_NOT_GLOBAL = 0x800;

/** Checks whether a note's kernel is mapped as it says; injected by find_linux.ts. */
export type NoteCheck = (note: Vmcoreinfo, space: AddressSpace) => boolean;

/** A Linux kernel that runs in the guest. */
export class LinuxGuest implements GuestOs {
  readonly kind = "linux";
  readonly version: string;
  readonly kernel: AddressSpace;
  readonly levels: number;
  readonly kernelBase: number;
  /** The note by which it was found. */
  readonly note: Vmcoreinfo;

  readonly #view: KernelView;
  readonly #tasks: TaskList;
  readonly #check: NoteCheck;
  #table: Kallsyms | undefined;
  #vmas: VmaList | undefined;
  #insight: GuestInsight | Unsupported | undefined;
  #lookups = 0;
  #isolated: boolean | undefined;
  #moduleList: number | undefined;
  #moduleSymbols: ModuleSymbols | undefined;
  #types: KernelTypes | Unsupported | undefined;

  /**
   * Assembles a guest; find_linux.ts has checked everything.
   *
   * @param note the kernel's note
   * @param kernel the kernel's address space
   * @param profile symbols and offsets of its build
   * @param check looks whether the note's kernel is mapped as it says
   * @param rest the symbol table, when it was read already; how a partial profile is completed
   */
  constructor(
    note: Vmcoreinfo,
    kernel: AddressSpace,
    profile: KernelProfile,
    check: NoteCheck,
    rest: { readonly table?: Kallsyms | undefined; readonly complete?: () => KernelProfile | undefined } = {},
  ) {
    this.note = note;
    this.kernel = kernel;
    this.version = note.line("OSRELEASE") ?? "";
    this.levels = kernel.paging.levels;
    this.#check = check;
    this.#table = rest.table;
    this.#view = new KernelView(kernel, profile, note.kernelOffset, rest.complete);
    const base = this.#view.symbol("_text");
    assert(base !== undefined, "a checked profile has _text");
    this.kernelBase = base;
    this.#tasks = new TaskList(this.#view);
  }

  /** The complete profile, for the next guest of this build. */
  get profile(): KernelProfile {
    return this.#view.profile;
  }

  get foundAt(): number {
    return this.note.gpa;
  }

  get isolated(): boolean {
    this.#isolated ??= this.#looksIsolated();
    return this.#isolated;
  }

  /**
   * Whether the same kernel is still in RAM and mapped as its note says. Right after a reset, before the
   * firmware or the next kernel has overwritten it, it still is: after a reset, search again instead.
   */
  stillThere(): boolean {
    this.kernel.memory.verify();
    if (this.note.gpa === NOT_IN_RAM) return this.#check(this.note, this.kernel);
    const note = readNote(this.kernel.memory, this.note.gpa);
    return note !== undefined && note.text === this.note.text && this.#check(note, this.kernel);
  }

  /** The kernel's count of forks, threads included, as far as 32 bits go. */
  births(): number | undefined {
    const place = this.#view.symbol("total_forks");
    const forks = place === undefined ? NaN : this.kernel.readU32(place);
    return Number.isNaN(forks) ? undefined : forks;
  }

  processes(): Listing<Process> {
    this.kernel.memory.verify();
    return this.#tasks.read();
  }

  process(pid: number): Process | undefined {
    this.kernel.memory.verify();
    return this.#tasks.find(pid);
  }

  lives(process: Process): boolean {
    return this.#tasks.lives(process);
  }

  spaceOf(process: Process): AddressSpace {
    return process.root === 0 ? this.kernel : this.kernel.withRoot(process.root);
  }

  commandLine(process: Process): readonly string[] {
    const mm = this.#tasks.mmOf(process);
    const places = this.#view.all("mm_struct.arg_start", "mm_struct.arg_end");
    if (mm === undefined || places === undefined || process.root === 0) return [];
    const start = this.kernel.readU64(mm, places[0]);
    const size = this.kernel.readU64(mm, places[1]) - start;
    if (!(size > 0)) return [];
    const bytes = new Uint8Array(Math.min(size, MAX_COMMAND_LINE_BYTES));
    const have = this.spaceOf(process).read(start, bytes);
    const text = textOfBytes(bytes.subarray(0, have));
    const words = text.split("\0");
    // The last word's own NUL ends the text; a process that rewrote its line may have left padding.
    while (words.length > 0 && words[words.length - 1] === "") words.pop();
    return words;
  }

  maps(process: Process): Listing<MemoryMap> {
    const mm = this.#tasks.mmOf(process);
    if (mm === undefined) return { items: [], end: { complete: true } };
    this.#vmas ??= new VmaList(this.#view);
    return this.#vmas.read(mm);
  }

  /** A process's threads, with the user registers of those that are off the CPU. */
  threadsOf(process: Process): Listing<ThreadState> {
    this.kernel.memory.verify();
    return readThreads(this.#view, process);
  }

  /** A process's auxiliary vector; empty for a kernel thread, or when it is not known. */
  auxvOf(process: Process): Uint8Array {
    const mm = this.#tasks.mmOf(process);
    return mm === undefined ? new Uint8Array(0) : readAuxv(this.#view, mm);
  }

  modules(): Listing<Module> {
    this.kernel.memory.verify();
    return readModules(this.#view, this.#moduleHead());
  }

  #moduleHead(): number | undefined {
    this.#moduleList ??= this.#view.symbol("modules") ?? this.#searchModuleList();
    return this.#moduleList;
  }

  /** Looks in the symbols of modules, if the kernel's types say where they are. */
  #ofModules<Found>(ask: (symbols: ModuleSymbols, head: number) => Found | undefined): Found | undefined {
    this.kernel.memory.verify();
    const head = this.#moduleHead();
    const types = this.#kernelTypes();
    if (head === undefined || "unsupported" in types) return undefined;
    this.#moduleSymbols ??= new ModuleSymbols(this.#view, types);
    return ask(this.#moduleSymbols, head);
  }

  #kernelTypes(): KernelTypes | Unsupported {
    this.#types ??= this.#readTypes();
    return this.#types;
  }

  modulesOf(process: Process): Listing<Module> {
    const { items, end } = this.maps(process);
    const byName = new Map<string, { base: number; end: number; executable: boolean }>();
    for (const map of items) {
      if (!map.name.startsWith("/")) continue;
      const known = byName.get(map.name);
      const executable = map.perms.includes("x");
      if (known === undefined) byName.set(map.name, { base: map.start, end: map.end, executable });
      else {
        known.end = map.end;
        known.executable ||= executable;
      }
    }
    const modules = [...byName].filter(([, m]) => m.executable)
      .map(([name, m]) => ({ base: m.base, sizeBytes: m.end - m.base, name }));
    return { items: modules, end };
  }

  symbol(name: string): number | undefined {
    return this.#ownSymbol(name) ?? this.#ofModules((symbols, head) => symbols.find(head, name));
  }

  /** A symbol of the kernel itself takes precedence over a module's. */
  #ownSymbol(name: string): number | undefined {
    const known = this.#view.symbol(name) ?? this.note.symbol(name);
    if (known !== undefined) return known;
    const table = this.#symbols();
    if (table === undefined) return undefined;
    if (++this.#lookups > SINGLE_LOOKUPS) table.decodeAll();
    return table.lookup([name]).get(name);
  }

  nearestSymbol(address: number): NearestSymbol | undefined {
    const own = this.#symbols()?.nearest(address);
    if (own !== undefined || address >= 0) return own;
    return this.#ofModules((symbols, head) => symbols.nearest(head, address));
  }

  insight(): GuestInsight | Unsupported {
    this.#insight ??= this.#readInsight();
    return this.#insight;
  }

  #readTypes(): KernelTypes | Unsupported {
    const [start, stop] = [this.#view.symbol("__start_BTF"), this.#view.symbol("__stop_BTF")];
    if (start === undefined || stop === undefined) return { unsupported: "it was built without BTF" };
    return KernelTypes.load(this.kernel, start, stop);
  }

  #readInsight(): GuestInsight | Unsupported {
    const types = this.#kernelTypes();
    if ("unsupported" in types) return types;
    return new LinuxInsight({
      view: this.#view,
      types,
      symbol: (name) => this.#ownSymbol(name),
      symbols: () => this.#symbols()?.decodeAll(),
      // One value may have thousands of pointers, for which the modules are not searched.
      nearestSymbol: (address) => this.#symbols()?.nearest(address),
      processes: () => this.processes(),
      spaceOf: (process) => this.spaceOf(process),
      mmOf: (process) => this.#tasks.mmOf(process),
    });
  }

  #searchModuleList(): number | undefined {
    const stext = this.note.symbol("_stext");
    return stext === undefined ? undefined : findModuleList(this.#view, stext);
  }

  #symbols(): Kallsyms | undefined {
    if (this.#table !== undefined) return this.#table;
    const places = kallsymsPlaces(this.kernel, this.note);
    if ("unsupported" in places) return undefined;
    const loaded = Kallsyms.load(this.kernel, places, []);
    if ("unsupported" in loaded) return undefined;
    this.#table = loaded.table;
    return this.#table;
  }

  /**
   * Under KPTI the kernel's copy of a process's root forbids execution of the whole user half; on arm64 the
   * kernel's own pages are then not global.
   */
  #looksIsolated(): boolean {
    const { memory, paging, walker, rootFrame } = this.kernel;
    if (paging.architecture === "aarch64") {
      const [hi, lo] = [Math.floor(this.kernelBase / 2 ** 32), this.kernelBase | 0];
      return walker.explain(rootFrame, hi, lo) >= 0 && (walker.entryLo & ARM64_NOT_GLOBAL) !== 0;
    }
    for (const process of this.#tasks.read().items) {
      if (process.root === 0 || !memory.locate(process.root / 4096)) continue;
      for (let i = 0; i < USER_ENTRIES; i++) {
        const lo = memory.words[memory.wordBase + 2 * i] as number;
        const hi = memory.words[memory.wordBase + 2 * i + 1] as number;
        if ((lo & PTE_P) !== 0 && (lo & PTE_U) !== 0) return (hi & PTE_NX_HI) !== 0;
      }
    }
    return false;
  }
}
