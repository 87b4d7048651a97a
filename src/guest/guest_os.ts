/**
 * The port through which a guest's system is queried: every system of systems.ts implements it. Found by
 * {@linkcode findGuest}; valid for one epoch of the guest (until its reset), which {@linkcode
 * GuestOs.stillThere} checks.
 *
 * Nothing here writes. Everything is read again at each call: nothing about processes is cached.
 * @module
 */
import type { AddressSpace } from "./address_space.ts";
import type { GuestInsight, Unsupported } from "./insight.ts";
import type { Listing, MemoryMap, Module, Process } from "./process.ts";
import type { SystemName } from "./systems.ts";

/** A symbol, and the offset of an address from it. */
export interface NearestSymbol {
  /** The symbol's name. */
  readonly name: string;
  /** Its address. */
  readonly address: number;
  /** Offset of the requested address, bytes. */
  readonly offsetBytes: number;
  /** Of a Linux kernel's module: its name. */
  readonly module?: string;
}

/** A guest's system, found in its RAM. */
export interface GuestOs {
  /** Which system. */
  readonly kind: SystemName;
  /** Its version: "6.1.0-30-cloud-amd64", "10.0.19045". */
  readonly version: string;
  /** The kernel's address space. */
  readonly kernel: AddressSpace;
  /** Levels of its page tables. */
  readonly levels: number;
  /** Whether user processes have a page-table root apart from the kernel's (KPTI, KVA shadow). */
  readonly isolated: boolean;
  /** Where the kernel's image starts (Linux: _text; Windows: ntoskrnl's base). */
  readonly kernelBase: number;
  /**
   * Guest-physical address at which it was found: a finder that is given it looks there first. Omitted if
   * looking elsewhere costs nothing more.
   */
  readonly foundAt?: number | undefined;

  /** Whether the same kernel is still running: false after a reset or another kernel's start. */
  stillThere(): boolean;
  /**
   * A number that changes whenever a process starts; undefined if the system has none. A wait for new
   * processes checks this first: it costs a hundredth of a list. The memory must have been verified or
   * renewed before.
   */
  births(): number | undefined;
  /** All processes. Kernel threads included. */
  processes(): Listing<Process>;
  /** One process by number; undefined when there is none. */
  process(pid: number): Process | undefined;
  /** Whether a process that was found before is still running in the same address space; cheap. */
  lives(process: Process): boolean;
  /** The address space of a process: the kernel's for a kernel thread. */
  spaceOf(process: Process): AddressSpace;
  /** The command line, as arguments (Windows: one string); empty when it has none or it is paged out. */
  commandLine(process: Process): readonly string[];
  /** The mappings of a process, by address; none for a kernel thread. */
  maps(process: Process): Listing<MemoryMap>;
  /** The kernel's modules (drivers). */
  modules(): Listing<Module>;
  /** A process's modules (Windows: the PEB's list; Linux: its mapped executables and libraries). */
  modulesOf(process: Process): Listing<Module>;
  /**
   * Address of a kernel symbol or export, or of a symbol of a loaded module of Linux ("name" or
   * "module:name"); undefined when there is none of that name.
   */
  symbol(name: string): number | undefined;
  /** The last symbol at or below a kernel address; undefined outside the kernel's image and its modules. */
  nearestSymbol(address: number): NearestSymbol | undefined;
  /**
   * What is available beyond these lists; `unsupported` on a system or kernel that is not supported to that
   * extent.
   */
  insight(): GuestInsight | Unsupported;
}

/** Why no system was found. */
export type NoGuest = {
  readonly found: false;
  /**
   * no-kernel: firmware or a boot loader still runs, or RAM is empty; unknown-os: something runs that is
   * neither; unsupported: the system was found, but a structure or format in it is not known (`detail` says
   * which).
   */
  readonly reason: "no-kernel" | "unknown-os" | "unsupported";
  /**
   * The system that was recognised although its structures are not supported. It need not be one of
   * systems.ts: a finder may recognise systems that nothing reads yet.
   */
  readonly system?: string;
  /** For a person. */
  readonly detail: string;
};

/** The outcome of looking for a system in RAM. */
export type FindResult<Os extends GuestOs = GuestOs> = { readonly found: true; readonly os: Os } | NoGuest;
