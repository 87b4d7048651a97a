/**
 * The kernel's modules, as in the guest's /proc/modules: name, first address and size. Kernels since 6.4 have
 * a table of regions per module, earlier ones a core and an init layout; the size is the sum of all, as in
 * /proc.
 *
 * A kernel without CONFIG_KALLSYMS_ALL (Debian's for arm64) has no symbol for the list. Then it is searched
 * in the image: the only list whose first entry is outside of the image, points back, and identifies itself
 * as a module (`mkobj.mod`).
 * @module
 */
import { MAX_LISTING } from "../../base/limits.ts";
import type { ListEnd, Listing, Module } from "../process.ts";
import { imageRuns } from "./kernel_image.ts";
import { isKernelPointer, type KernelView } from "./kernel_view.ts";

/** Bytes of a module's name. */
export const NAME_BYTES = 56;
/** Regions of a module: text, data, rodata, ro_after_init, and three of init. */
const REGIONS = 7;

/**
 * Reads the module list; a kernel without modules has none.
 *
 * @param view the kernel
 * @param head address of the list, `modules`; undefined when it is not known
 * @param limit how many at most
 */
export function readModules(
  view: KernelView,
  head: number | undefined,
  limit: number = MAX_LISTING,
): Listing<Module> {
  const items: Module[] = [];
  if (view.all("module.list", "module.name") === undefined) return { items, end: { complete: true } };
  // No symbol says where they are, and no loaded one was found.
  if (head === undefined) return { items, end: { complete: false, reason: "wild-pointer", at: 0 } };
  const nameAt = view.maybe("module.name") ?? 0;
  const objects = moduleObjects(view, head, limit);
  for (;;) {
    const next = objects.next();
    if (next.done === true) return { items, end: next.value };
    const object = next.value;
    const regions = moduleRegions(view, object);
    const name = view.space.cstring(object + nameAt, NAME_BYTES);
    const [first] = regions ?? [];
    if (regions === undefined || first === undefined || name === undefined) {
      return { items, end: { complete: false, reason: "wild-pointer", at: object } };
    }
    items.push({
      base: first.base,
      sizeBytes: regions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      name,
    });
  }
}

/**
 * The kernel's struct module objects, one by one; returns how the list ended.
 *
 * @param view the kernel
 * @param head address of the list
 * @param limit how many at most
 */
export function* moduleObjects(
  view: KernelView,
  head: number,
  limit: number = MAX_LISTING,
): Generator<number, ListEnd> {
  const listAt = view.maybe("module.list");
  if (listAt === undefined) return { complete: true };
  const seen = new Set<number>();
  let link = head;
  for (;;) {
    const next = view.pointer(link, 0);
    if (next === undefined || view.space.readS64(next, 8) !== link) {
      return { complete: false, reason: "wild-pointer", at: link };
    }
    if (next === head) return { complete: true };
    if (seen.has(next)) return { complete: false, reason: "cycle", at: next };
    if (seen.size >= limit) return { complete: false, reason: "too-many", at: next };
    seen.add(next);
    yield next - listAt;
    link = next;
  }
}

/**
 * The list's head, when no symbol tells of it; undefined when no module is loaded.
 *
 * @param view the kernel
 * @param stext the image's first address
 */
export function findModuleList(view: KernelView, stext: number): number | undefined {
  const fields = view.all("module.list", "module.mkobj", "module_kobject.mod");
  if (fields === undefined) return undefined;
  const [listAt, mkobjAt, modAt] = fields;
  for (const { start, bytes } of imageRuns(view.space, stext)) {
    const words = new Int32Array(bytes.buffer, 0, bytes.length >>> 2);
    const end = start + bytes.length;
    // Two pointers into the kernel half, outside the image: few words of it are that.
    for (let i = 0; i + 3 < words.length; i += 2) {
      if ((words[i + 1] as number) >>> 16 !== 0xffff || (words[i + 3] as number) >>> 16 !== 0xffff) continue;
      const next = (words[i + 1] as number) * 2 ** 32 + ((words[i] as number) >>> 0);
      if (!isKernelPointer(next) || (next >= start && next < end)) continue;
      const head = start + 4 * i;
      const object = next - listAt;
      if (view.space.readS64(next, 8) !== head) continue;
      if (view.space.readS64(object, mkobjAt + modAt) === object) return head;
    }
  }
  return undefined;
}

/** A part of a module's memory. */
export interface ModuleRegion {
  /** Its first address. */
  readonly base: number;
  /** Its size; 0 for a part that this module lacks. */
  readonly sizeBytes: number;
}

/**
 * The parts of a module's memory, its code first.
 *
 * @param view the kernel
 * @param object address of the struct module
 * @returns undefined when they cannot be read
 */
export function moduleRegions(view: KernelView, object: number): ModuleRegion[] | undefined {
  const tables = view.all("module.mem", "module_memory.base", "module_memory.size");
  const regionBytes = view.profile.offsets["sizeof module_memory"];
  if (tables !== undefined && regionBytes !== undefined) {
    const [memAt, baseAt, sizeAt] = tables;
    return checked(Array.from({ length: REGIONS }, (_, i) => ({
      base: view.space.readS64(object, memAt + i * regionBytes + baseAt),
      sizeBytes: view.space.readU32(object, memAt + i * regionBytes + sizeAt),
    })));
  }
  const layouts = view.all(
    "module.core_layout",
    "module.init_layout",
    "module_layout.base",
    "module_layout.size",
  );
  if (layouts === undefined) return undefined;
  const [coreAt, initAt, baseAt, sizeAt] = layouts;
  return checked([coreAt, initAt].map((at) => ({
    base: view.space.readS64(object, at + baseAt),
    sizeBytes: view.space.readU32(object, at + sizeAt),
  })));
}

function checked(regions: ModuleRegion[]): ModuleRegion[] | undefined {
  return regions.some(({ base, sizeBytes }) => Number.isNaN(base + sizeBytes)) ? undefined : regions;
}
