/**
 * A guest's memory and the system in it: read a RAM image, an ELF core or a running QEMU's RAM, walk its page
 * tables, list its processes. Nothing here writes.
 *
 * @example Reads a RAM image: by physical address, and through page tables
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { AddressSpace, findersFor, openTarget, X64_4 } from "@vmsig/vmsig/guest";
 *
 * // 2 MiB of RAM: at 0x1000 to 0x4000 tables that map address 0x7000 to the page at 0x8000.
 * const ram = new DataView(new ArrayBuffer(2 << 20));
 * const presentWritable = 3;
 * for (const [table, next] of [[0x1000, 0x2000], [0x2000, 0x3000], [0x3000, 0x4000]] as const) {
 *   ram.setBigUint64(table, BigInt(next | presentWritable), true);
 * }
 * ram.setBigUint64(0x4000 + 8 * 7, BigInt(0x8000 | presentWritable), true);
 * ram.setUint32(0x8010, 42, true);
 * const path = Deno.makeTempFileSync();
 * Deno.writeFileSync(path, new Uint8Array(ram.buffer));
 *
 * {
 *   using target = openTarget(`file:${path}`, findersFor("auto"));
 *   const { memory, guest } = target;
 *   assertEquals(memory.ramBytes, 2 << 20);
 *   const word = new Uint8Array(4);
 *   memory.read(0x8010, word);
 *   assertEquals(word[0], 42);
 *
 *   const space = new AddressSpace(memory, X64_4, 0x1000);
 *   assertEquals(space.translate(0x7010), 0x8010);
 *   assertEquals(space.readU32(0x7010), 42);
 *
 *   // In an image of a real guest: guest.os.processes().items, .maps(process), .modules() and more.
 *   assertEquals(guest.found ? guest.os.kind : guest.reason, "no-kernel");
 * }
 * Deno.removeSync(path);
 * ```
 *
 * @example A value of one of a Linux kernel's types, pointers followed
 * ```ts
 * import { type GuestOs, type TypedValue } from "@vmsig/vmsig/guest";
 *
 * function nameOfParent(os: GuestOs, task: number): string | undefined {
 *   const insight = os.insight();
 *   if ("unsupported" in insight) return undefined;
 *   const value = insight.value("task_struct", task, { follow: ["real_parent"] });
 *   if (value === undefined || "unsupported" in value) return undefined;
 *   const parent = member(value, "real_parent");
 *   if (parent?.kind !== "pointer" || typeof parent.target !== "object") return undefined;
 *   const comm = member(parent.target, "comm");
 *   return comm?.kind === "text" ? comm.text : undefined;
 * }
 *
 * function member(value: TypedValue, name: string): TypedValue | undefined {
 *   return value.kind === "struct" ? value.members.find((one) => one.name === name)?.value : undefined;
 * }
 * console.log(typeof nameOfParent); // nameOfParent(guest.os, guest.os.processes().items[0].object)
 * ```
 * @module
 */
export { Fault } from "../base/fault.ts";
export { openMemsegs } from "../ram/memseg_ram.ts";
export { isTarget, type MemoryTarget, openTarget } from "../ram/open_target.ts";
export { openQemuRam, type QemuRam } from "../ram/qemu_ram.ts";
export { AddressSpace } from "./address_space.ts";
export { FINDERS, findersFor } from "./finders.ts";
export { findGuest, type GuestEvidence, type GuestFinder, type ProfileCache } from "./find_guest.ts";
export type { FindResult, GuestOs, NearestSymbol, NoGuest } from "./guest_os.ts";
export type {
  GuestInsight,
  LogRecord,
  Mount,
  OpenFile,
  OpenSocket,
  ProcessFacts,
  TypeLayout,
  Unsupported,
} from "./insight.ts";
export { searchMemory, type SearchResult } from "./memory_search.ts";
export {
  ARCHITECTURE,
  type Architecture,
  ARM64_3,
  ARM64_4,
  ARM64_MODES,
  arm64Paging,
  knownPaging,
  type Paging,
  type PagingLevel,
  pagingOf,
  type WalkFailure,
  X64_4,
  X64_5,
} from "./paging.ts";
export { PAGE_BYTES, PhysicalMemory, type Residency } from "./physical_memory.ts";
export {
  kernelHalf,
  reverseLookup,
  type ScanEnd,
  type ScannedPage,
  scanPages,
  userHalf,
} from "./page_scan.ts";
export type { Listing, MemoryMap, Module, Process } from "./process.ts";
export type { RamPort, RamSegment } from "./ram_port.ts";
export { ScatterReader } from "./scatter.ts";
export type {
  ArrayValue,
  BooleanValue,
  EnumerationValue,
  IntegerValue,
  MemberValue,
  MissingValue,
  OpaqueValue,
  PointerValue,
  RecordValue,
  TextValue,
  Typed,
  TypedValue,
  ValueOptions,
} from "./typed_value.ts";
export { SyntheticRam } from "./synthetic_ram.ts";
export {
  isSystemName,
  SYSTEM_CHOICES,
  type SystemName,
  systemOf,
  systemOfNumber,
  type SystemRow,
  SYSTEMS,
  type SystemTraits,
  type WantedSystem,
} from "./systems.ts";
