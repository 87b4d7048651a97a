/**
 * The loader's lists: the kernel's PsLoadedModuleList, and those in a process's PEB. The entries have the
 * same structure (LDR_DATA_TABLE_ENTRY, LDR_DATA_TABLE_ENTRY32) in every build.
 *
 * A process's lists are in its own memory and under its control; they are bounded like the kernel's.
 * @module
 */
import { MAX_LISTING } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import type { Listing, Module } from "../process.ts";
import { KERNEL_LINKS, type LinkKind, USER32_LINKS, USER_LINKS, walkLinks } from "./link_walk.ts";
import { LDR_AT, peb32Of } from "./peb.ts";
import { type PointerAt, readUnicode } from "./unicode_string.ts";

const NAME_BYTES = 1024;
const LDR_32_AT = 0x0c;

/** Where an entry keeps what. */
interface EntryShape {
  readonly links: LinkKind;
  readonly pointerAt: PointerAt;
  /** PEB_LDR_DATA.InLoadOrderModuleList. */
  readonly listAt: number;
  readonly base: number;
  readonly sizeOfImage: number;
  readonly fullName: number;
  readonly baseName: number;
}

const ENTRY_64: EntryShape = {
  links: USER_LINKS,
  pointerAt: 8,
  listAt: 0x10,
  base: 0x30,
  sizeOfImage: 0x40,
  fullName: 0x48,
  baseName: 0x58,
};
const KERNEL_ENTRY: EntryShape = { ...ENTRY_64, links: KERNEL_LINKS };
const ENTRY_32: EntryShape = {
  links: USER32_LINKS,
  pointerAt: 4,
  listAt: 0x0c,
  base: 0x18,
  sizeOfImage: 0x20,
  fullName: 0x24,
  baseName: 0x2c,
};

/**
 * The kernel's modules, in load order; named as their files ("tcpip.sys").
 *
 * @param space the kernel's address space
 * @param head PsLoadedModuleList
 */
export function kernelModules(
  space: AddressSpace,
  head: number,
  limit: number = MAX_LISTING,
): Listing<Module> {
  return readList(space, head, KERNEL_ENTRY, "baseName", limit);
}

/**
 * A process's modules, in load order, named by their path; those of its 32-bit half after the others.
 *
 * @param space the process's address space
 * @param peb its PEB
 */
export function userModules(space: AddressSpace, peb: number, limit: number = MAX_LISTING): Listing<Module> {
  const native = listOf(space, space.readS64(peb, LDR_AT), ENTRY_64, limit);
  const peb32 = peb32Of(space, peb);
  if (peb32 === undefined) return native;
  const wow64 = listOf(space, space.readU32(peb32, LDR_32_AT), ENTRY_32, limit - native.items.length);
  // The image itself stands in both lists.
  const known = new Set(native.items.map((module) => module.base));
  const items = [...native.items, ...wow64.items.filter((module) => !known.has(module.base))];
  return { items, end: native.end.complete ? wow64.end : native.end };
}

function listOf(space: AddressSpace, ldr: number, shape: EntryShape, limit: number): Listing<Module> {
  if (!shape.links.isPointer(ldr)) {
    return { items: [], end: { complete: false, reason: "wild-pointer", at: Number.isNaN(ldr) ? 0 : ldr } };
  }
  return readList(space, ldr + shape.listAt, shape, "fullName", limit);
}

function readList(
  space: AddressSpace,
  head: number,
  shape: EntryShape,
  naming: "fullName" | "baseName",
  limit: number,
): Listing<Module> {
  const items: Module[] = [];
  const end = walkLinks(space, head, shape.links, limit, (entry) => {
    const base = shape.pointerAt === 8 ? space.readS64(entry, shape.base) : space.readU32(entry, shape.base);
    const sizeBytes = space.readU32(entry, shape.sizeOfImage);
    if (Number.isNaN(base) || Number.isNaN(sizeBytes)) return false;
    // If a name is paged out, only the name is missing, not the module.
    const name = readUnicode(space, entry, shape[naming], NAME_BYTES, shape.pointerAt) ??
      readUnicode(space, entry, shape.baseName, NAME_BYTES, shape.pointerAt) ?? "";
    items.push({ base, sizeBytes, name });
    return true;
  });
  return { items, end };
}
