/**
 * A Windows guest: the {@linkcode GuestOs} port over its kernel's own structures. The kernel's image, its
 * exports and the layout of its process object are kept; processes, mappings and modules are read again at
 * each call.
 *
 * If the layout is incomplete (because the guest was still starting when it was learnt), it is completed when
 * needed.
 * @module
 */
import type { AddressSpace } from "../address_space.ts";
import type { GuestOs, NearestSymbol } from "../guest_os.ts";
import type { Unsupported } from "../insight.ts";
import type { Listing, MemoryMap, Module, Process } from "../process.ts";
import { type EprocessLayout, learnLayout, SYSTEM_PID } from "./eprocess_layout.ts";
import { isKernelPointer } from "./link_walk.ts";
import { kernelModules, userModules } from "./loader_list.ts";
import { userPageRuns } from "./page_runs.ts";
import { type PeExports, type PeImage, readPeImage } from "./pe_image.ts";
import { readCommandLine } from "./peb.ts";
import { ProcessList, type WindowsProcess } from "./process_list.ts";

/** What find_windows.ts has found and checked. */
export interface WindowsParts {
  /** The kernel's address space. */
  readonly kernel: AddressSpace;
  /** The kernel's image. */
  readonly image: PeImage;
  /** Its exports. */
  readonly exports: PeExports;
  /** The System process's object. */
  readonly system: number;
  /** The layout of process objects. */
  readonly layout: EprocessLayout;
  /** "10.0.19045". */
  readonly version: string;
}

/** A Windows kernel that runs in the guest. */
export class WindowsGuest implements GuestOs {
  readonly kind = "windows";
  readonly version: string;
  readonly kernel: AddressSpace;
  readonly levels: number;
  readonly kernelBase: number;
  /** The kernel's image. */
  readonly image: PeImage;

  readonly #exports: PeExports;
  readonly #system: number;
  readonly #list: ProcessList;
  #layout: EprocessLayout;

  /**
   * Puts a guest together.
   *
   * @param parts what was found and checked
   */
  constructor(parts: WindowsParts) {
    this.version = parts.version;
    this.kernel = parts.kernel;
    this.levels = parts.kernel.paging.levels;
    this.kernelBase = parts.image.base;
    this.image = parts.image;
    this.#exports = parts.exports;
    this.#system = parts.system;
    this.#layout = parts.layout;
    this.#list = new ProcessList(parts.kernel, parts.image, parts.system);
  }

  /** Where this build keeps the fields of a process object, as far as it is known by now. */
  get layout(): EprocessLayout {
    return this.#layout;
  }

  /** Whether user code runs under tables of its own (KVA shadow). */
  get isolated(): boolean {
    return this.#layout.userRoot !== undefined;
  }

  /**
   * Whether the same kernel is still in RAM and mapped as before. Right after a reset it still is: after a
   * reset, search again instead.
   */
  /** None that is exported. */
  births(): undefined {
    return undefined;
  }

  stillThere(): boolean {
    this.kernel.memory.verify();
    const image = readPeImage(this.kernel, this.image.base);
    if (image === undefined || image.sizeBytes !== this.image.sizeBytes) return false;
    if (image.timeDateStamp !== this.image.timeDateStamp) return false;
    const place = this.symbol("PsInitialSystemProcess");
    return place !== undefined && this.kernel.readS64(place) === this.#system &&
      this.kernel.readU64(this.#system, this.#layout.pid) === SYSTEM_PID;
  }

  processes(): Listing<WindowsProcess> {
    this.kernel.memory.verify();
    return this.#list.read(this.#layout);
  }

  process(pid: number): WindowsProcess | undefined {
    const all = this.processes().items.filter((process) => process.pid === pid);
    // A pid is reused once its process has ended: the living one is returned.
    return all.find((process) => !process.exited) ?? all[0];
  }

  lives(process: Process): boolean {
    const now = this.process(process.pid);
    return now?.object === process.object && now.root === process.root;
  }

  /**
   * The address space of a process: its kernel root, which maps user memory too; the kernel's for one that
   * has ended.
   */
  spaceOf(process: Process): AddressSpace {
    return process.root === 0 ? this.kernel : this.kernel.withRoot(process.root);
  }

  commandLine(process: Process): readonly string[] {
    const peb = this.#pebOf(process);
    const line = peb === 0 ? undefined : readCommandLine(this.spaceOf(process), peb);
    return line === undefined || line === "" ? [] : [line];
  }

  /**
   * The ranges of a process's address tree; where this build's tree is not understood, the runs of its pages
   * that are present. A process that has ended has none.
   */
  maps(process: Process): Listing<MemoryMap> {
    if (process.root === 0) return { items: [], end: { complete: true } };
    this.#relearn();
    const user = this.spaceOf(process);
    const { vad } = this.#layout;
    return vad === undefined ? userPageRuns(user) : vad.read(this.kernel, process.object, user);
  }

  /** PsLoadedModuleList: the kernel itself first. */
  modules(): Listing<Module> {
    this.kernel.memory.verify();
    const head = this.symbol("PsLoadedModuleList");
    if (head === undefined) {
      return { items: [], end: { complete: false, reason: "wild-pointer", at: this.kernelBase } };
    }
    return kernelModules(this.kernel, head);
  }

  /** The loader's list in the process's PEB, and that of its 32-bit half; none for a minimal process. */
  modulesOf(process: Process): Listing<Module> {
    const peb = this.#pebOf(process);
    if (peb === 0) {
      const unknown = this.#layout.peb === undefined && process.root !== 0;
      return {
        items: [],
        end: unknown ? { complete: false, reason: "wild-pointer", at: process.object } : { complete: true },
      };
    }
    return userModules(this.spaceOf(process), peb);
  }

  symbol(name: string): number | undefined {
    return this.#exports.lookup(name);
  }

  insight(): Unsupported {
    return { unsupported: "not for this system: Windows' log, handles, sockets and types are not read" };
  }

  nearestSymbol(address: number): NearestSymbol | undefined {
    return this.#exports.nearest(address);
  }

  /** The process's current PEB, since the caller's may be from an earlier list. */
  #pebOf(process: Process): number {
    this.kernel.memory.verify();
    this.#relearn();
    const { peb } = this.#layout;
    if (peb === undefined || process.root === 0) return 0;
    const address = this.kernel.readS64(process.object, peb);
    return address > 0 ? address : 0;
  }

  #relearn(): void {
    if (this.#layout.peb !== undefined && this.#layout.vad !== undefined) return;
    if (!isKernelPointer(this.#system)) return;
    const learnt = learnLayout(this.kernel, this.image, this.#system);
    if (learnt.ok) this.#layout = learnt.layout;
  }
}
