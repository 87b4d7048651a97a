/**
 * A process's mappings, as in its /proc/PID/maps: from the maple tree since 6.1, from the list of VMAs
 * before.
 *
 * The mm_struct is read again at each call. A mapping must be above the previous one and belong to the same
 * mm: a torn tree is reported.
 * @module
 */
import { MAX_LISTING } from "../../base/limits.ts";
import type { ListEnd, Listing, MemoryMap } from "../process.ts";
import { FilePath } from "./file_path.ts";
import { isKernelPointer, type KernelView } from "./kernel_view.ts";
import { MapleTree } from "./maple_tree.ts";

const VM_READ = 1;
const VM_WRITE = 2;
const VM_EXEC = 4;
const VM_MAYSHARE = 0x80;
const VSYSCALL_NONE = 2;
/** MM_CONTEXT_HAS_VSYSCALL in mm_context_t.flags. */
const HAS_VSYSCALL = 2;
const NAME_BYTES = 256;

/** Offsets of the fields that a mapping cannot do without. */
interface VmaOffsets {
  readonly start: number;
  readonly end: number;
  readonly flags: number;
  readonly file: number;
  readonly pageOffset: number;
}

/** Reads mappings of one kernel's processes. */
export class VmaList {
  readonly #view: KernelView;
  readonly #maple: MapleTree;
  readonly #paths: FilePath;
  readonly #at: VmaOffsets | undefined;

  /**
   * Reads nothing yet.
   *
   * @param view the kernel
   */
  constructor(view: KernelView) {
    this.#view = view;
    this.#maple = new MapleTree(view);
    this.#paths = new FilePath(view);
    const all = view.all(
      "vm_area_struct.vm_start",
      "vm_area_struct.vm_end",
      "vm_area_struct.vm_flags",
      "vm_area_struct.vm_file",
      "vm_area_struct.vm_pgoff",
    );
    if (all !== undefined) {
      const [start, end, flags, file, pageOffset] = all;
      this.#at = { start, end, flags, file, pageOffset };
    }
  }

  /**
   * The mappings of an mm_struct, lowest first.
   *
   * @param mm its address
   */
  read(mm: number): Listing<MemoryMap> {
    const items: MemoryMap[] = [];
    const at = this.#at;
    if (at === undefined) return { items, end: { complete: false, reason: "wild-pointer", at: mm } };
    let above = 0;
    let torn: ListEnd | undefined;
    const visit = (vma: number): boolean => {
      const map = this.#describe(vma, mm, at);
      if (map === undefined || map.start < above || map.end <= map.start) {
        torn = { complete: false, reason: "wild-pointer", at: vma };
        return false;
      }
      above = map.end;
      items.push(map);
      return items.length < MAX_LISTING;
    };
    const end = this.#walk(mm, visit);
    if (torn !== undefined) return { items, end: torn };
    if (end.complete) {
      const gate = this.#gate(mm, at);
      if (gate !== undefined) items.push(gate);
    }
    return { items, end };
  }

  #walk(mm: number, visit: (vma: number) => boolean): ListEnd {
    const view = this.#view;
    const tree = view.all("mm_struct.mm_mt", "maple_tree.ma_root");
    if (tree !== undefined) {
      const [treeAt, rootAt] = tree;
      return this.#maple.read(mm, treeAt + rootAt, MAX_LISTING, visit);
    }
    const list = view.all("mm_struct.mmap", "vm_area_struct.vm_next");
    if (list === undefined) return { complete: false, reason: "wild-pointer", at: mm };
    const [headAt, nextAt] = list;
    // Each visit checks that addresses increase, so that a cycle cannot continue for ever.
    let vma = view.space.readS64(mm, headAt);
    while (vma !== 0) {
      if (!isKernelPointer(vma)) return { complete: false, reason: "wild-pointer", at: mm };
      if (!visit(vma)) return { complete: false, reason: "too-many", at: vma };
      vma = view.space.readS64(vma, nextAt);
    }
    return { complete: true };
  }

  #describe(vma: number, mm: number, at: VmaOffsets): MemoryMap | undefined {
    const space = this.#view.space;
    const start = space.readS64(vma, at.start);
    const end = space.readS64(vma, at.end);
    const flags = space.readU32(vma, at.flags);
    const file = space.readS64(vma, at.file);
    const mmAt = this.#view.maybe("vm_area_struct.vm_mm");
    if (Number.isNaN(start) || Number.isNaN(end) || Number.isNaN(flags) || Number.isNaN(file)) {
      return undefined;
    }
    if (mmAt !== undefined && space.readS64(vma, mmAt) !== mm) return undefined;
    const mapped = isKernelPointer(file);
    return {
      start,
      end,
      perms: perms(flags),
      fileOffset: mapped ? space.readU64(vma, at.pageOffset) * 2 ** space.paging.granuleShift : 0,
      name: mapped ? this.#paths.of(file) : this.#anonymousName(vma, mm, start, end),
    };
  }

  /** In the kernel's order: the mapping's own name, the heap, the stack, a name that the program gave. */
  #anonymousName(vma: number, mm: number, start: number, end: number): string {
    const view = this.#view;
    const special = view.all(
      "vm_area_struct.vm_ops",
      "vm_area_struct.vm_private_data",
      "vm_special_mapping.name",
    );
    if (special !== undefined && this.#isSpecial(view.pointer(vma, special[0]))) {
      const mapping = view.pointer(vma, special[1]);
      const name = mapping === undefined ? NaN : view.space.readS64(mapping, special[2]);
      return name < 0 ? view.space.cstring(name, NAME_BYTES) ?? "" : "";
    }
    const places = view.all("mm_struct.start_brk", "mm_struct.brk", "mm_struct.start_stack");
    if (places !== undefined) {
      const [startBrk, brk, stack] = places;
      if (start <= view.space.readS64(mm, brk) && end >= view.space.readS64(mm, startBrk)) return "[heap]";
      const top = view.space.readS64(mm, stack);
      if (start <= top && end >= top) return "[stack]";
    }
    const given = view.all("vm_area_struct.anon_name", "anon_vma_name.name");
    const text = given === undefined ? undefined : view.pointer(vma, given[0]);
    if (given === undefined || text === undefined) return "";
    // The name stands behind a 4-byte count, so its address is not 8-aligned: add the offset to the base's
    // read.
    const name = this.#smallText(text, given[1]);
    return name === "" ? "" : `[anon:${name}]`;
  }

  /**
   * Whether operations are those of the kernel's own mappings ([vdso] and the like): by their symbol, or,
   * where the kernel keeps no symbols of data, by the function that names such a mapping.
   */
  #isSpecial(operations: number | undefined): boolean {
    const view = this.#view;
    const special = view.symbol("special_mapping_vmops");
    if (operations === undefined || special !== undefined) {
      return operations === special && special !== undefined;
    }
    const namer = view.symbol("special_mapping_name");
    const at = view.maybe("vm_operations_struct.name");
    return namer !== undefined && at !== undefined && view.space.readS64(operations, at) === namer;
  }

  #smallText(base: number, offset: number): string {
    let text = "";
    for (let i = 0; i < NAME_BYTES; i++) {
      const byte = this.#view.space.readU8(base, offset + i);
      if (!(byte > 0)) break;
      text += String.fromCharCode(byte);
    }
    return text;
  }

  /** The vsyscall page belongs to no mm, but /proc shows it behind every one that may use it. */
  #gate(mm: number, at: VmaOffsets): MemoryMap | undefined {
    const view = this.#view;
    const mode = view.symbol("vsyscall_mode");
    const gate = view.symbol("gate_vma");
    if (mode === undefined || gate === undefined || view.space.readU32(mode) >= VSYSCALL_NONE) {
      return undefined;
    }
    const context = view.all("mm_struct.context", "mm_context_t.flags");
    if (context === undefined) return undefined;
    if ((view.space.readU32(mm, context[0] + context[1]) & HAS_VSYSCALL) === 0) return undefined;
    const start = view.space.readS64(gate, at.start);
    const end = view.space.readS64(gate, at.end);
    const flags = view.space.readU32(gate, at.flags);
    if (Number.isNaN(start) || Number.isNaN(end) || Number.isNaN(flags)) return undefined;
    return { start, end, perms: perms(flags), fileOffset: 0, name: "[vsyscall]" };
  }
}

function perms(flags: number): string {
  return ((flags & VM_READ) !== 0 ? "r" : "-") + ((flags & VM_WRITE) !== 0 ? "w" : "-") +
    ((flags & VM_EXEC) !== 0 ? "x" : "-") + ((flags & VM_MAYSHARE) !== 0 ? "s" : "p");
}
