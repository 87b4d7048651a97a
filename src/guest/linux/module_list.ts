/**
 * The kernel's modules, as the guest's /proc/modules shows them: name, first address and size. Kernels since
 * 6.4 keep a table of regions a module, those before a core and an init layout; the size is the sum of all,
 * which is what /proc prints.
 *
 * A kernel without CONFIG_KALLSYMS_ALL (Debian's for arm64) keeps no symbol of the list. It is then looked
 * for in the image: the one list whose first entry lies outside, points back, and is a module that says so
 * itself (`mkobj.mod`).
 * @module
 */
import { MAX_LISTING } from "../../base/limits.ts";
import type { ListEnd, Listing, Module } from "../process.ts";
import { imageRuns } from "./kernel_image.ts";
import { isKernelPointer, type KernelView } from "./kernel_view.ts";

const NAME_BYTES = 56;
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
  const ended = (end: ListEnd): Listing<Module> => ({ items, end });
  const fields = view.all("module.list", "module.name");
  if (fields === undefined) return ended({ complete: true });
  // No symbol says where they are, and none that is loaded was found.
  if (head === undefined) return ended({ complete: false, reason: "wild-pointer", at: 0 });
  const [listAt, nameAt] = fields;
  const seen = new Set<number>();
  let link = head;
  for (;;) {
    const next = view.pointer(link, 0);
    if (next === undefined || view.space.readS64(next, 8) !== link) {
      return ended({ complete: false, reason: "wild-pointer", at: link });
    }
    if (next === head) return ended({ complete: true });
    if (seen.has(next)) return ended({ complete: false, reason: "cycle", at: next });
    if (items.length >= limit) return ended({ complete: false, reason: "too-many", at: next });
    seen.add(next);
    const object = next - listAt;
    const place = placeOf(view, object);
    const name = view.space.cstring(object + nameAt, NAME_BYTES);
    if (place === undefined || name === undefined) {
      return ended({ complete: false, reason: "wild-pointer", at: object });
    }
    items.push({ base: place.base, sizeBytes: place.sizeBytes, name });
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

function placeOf(view: KernelView, object: number): { base: number; sizeBytes: number } | undefined {
  const regions = view.all("module.mem", "module_memory.base", "module_memory.size");
  const regionBytes = view.profile.offsets["sizeof module_memory"];
  if (regions !== undefined && regionBytes !== undefined) {
    const [memAt, baseAt, sizeAt] = regions;
    const base = view.space.readS64(object, memAt + baseAt);
    let sizeBytes = 0;
    for (let i = 0; i < REGIONS; i++) {
      sizeBytes += view.space.readU32(object, memAt + i * regionBytes + sizeAt);
    }
    return Number.isNaN(base + sizeBytes) ? undefined : { base, sizeBytes };
  }
  const layouts = view.all(
    "module.core_layout",
    "module.init_layout",
    "module_layout.base",
    "module_layout.size",
  );
  if (layouts === undefined) return undefined;
  const [coreAt, initAt, baseAt, sizeAt] = layouts;
  const base = view.space.readS64(object, coreAt + baseAt);
  const sizeBytes = view.space.readU32(object, coreAt + sizeAt) + view.space.readU32(object, initAt + sizeAt);
  return Number.isNaN(base + sizeBytes) ? undefined : { base, sizeBytes };
}
