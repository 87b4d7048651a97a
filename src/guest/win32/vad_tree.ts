/**
 * A process's address ranges, read as mappings from the balanced tree of VADs that the kernel keeps for each
 * process.
 *
 * The offset of VadRoot in EPROCESS, and that of the protection in a node's flags, differ between builds:
 * both are learnt from the node that must contain the PEB (private, read-write) and the one that must contain
 * the image (mapped copy-on-write, executable). The node's ranges and pointers have been at the same place
 * since Windows 8.1. A node's protection is the one with which its range was created; the current permissions
 * of a page are in the page tables.
 * @module
 */
import { MAX_LISTING, MAX_VAD_DEPTH } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import type { ListEnd, Listing, MemoryMap } from "../process.ts";
import { isKernelPointer } from "./link_walk.ts";
import { readUnicode } from "./unicode_string.ts";

const LEFT = 0x00;
const RIGHT = 0x08;
const PARENT = 0x10;
const STARTING_VPN = 0x18;
const ENDING_VPN = 0x1c;
const STARTING_HIGH = 0x20;
const ENDING_HIGH = 0x21;
const FLAGS = 0x30;
const SUBSECTION = 0x48;
const FILE_POINTER = 0x40;
const FILE_NAME = 0x58;
const FILE_OBJECT_TYPE = 5;
/**
 * Builds since 2004 keep the protection at bit 7, earlier ones at bit 3; the kind of range stands in the 3
 * bits below.
 */
const PROTECTION_SHIFTS: readonly number[] = [7, 3];
const PROTECT_READWRITE = 4;
const PROTECT_EXECUTE_WRITECOPY = 7;
/** Modifier bits of a protection: 3 of both means no access. */
const PROTECT_NOTHING = 0x18;
const KIND_IMAGE = 2;
/** Low three bits of MM_PROTECTION. */
const PERMS: readonly string[] = ["---", "r--", "--x", "r-x", "rw-", "rw-", "rwx", "rwx"];
/** Pool tags of nodes without a section: private memory ("VadS", "VadF"). */
const SHORT_TAGS: readonly number[] = [0x5364_6156, 0x4664_6156];
const PAGE_BYTES = 4096;
const PATH_BYTES = 2048;
/** Pages that are asked for what they allow when a node's protection is not understood. */
const PROBED_PAGES = 16;

/** A process to learn from. */
export interface VadSample {
  /** The tree's root node. */
  readonly root: number;
  /** An address that must be in private, writable memory. */
  readonly peb: number;
  /** An address that must be in a mapped image. */
  readonly image: number;
}

/** Where a build keeps the tree and its protections. */
export class VadShape {
  /** Offset of VadRoot in EPROCESS. */
  readonly offset: number;
  /** Bit at which a node's protection starts; undefined when it is not where any known build has it. */
  readonly protectionShift: number | undefined;

  private constructor(offset: number, protectionShift: number | undefined) {
    this.offset = offset;
    this.protectionShift = protectionShift;
  }

  /** Whether this is the root of a tree with a node that holds an address. */
  static holds(space: AddressSpace, root: number, address: number): boolean {
    if (!isKernelPointer(root) || !(space.readS64(root, PARENT) >= 0 && space.readS64(root, PARENT) < 8)) {
      return false;
    }
    return find(space, root, address) !== undefined;
  }

  /** Learns where the protection is, from processes whose tree lies at `offset`. */
  static learn(space: AddressSpace, offset: number, samples: readonly VadSample[]): VadShape {
    for (const shift of PROTECTION_SHIFTS) {
      const fits = ({ root, peb, image }: VadSample): boolean =>
        protectionOf(space, find(space, root, peb), shift) === PROTECT_READWRITE &&
        protectionOf(space, find(space, root, image), shift) === PROTECT_EXECUTE_WRITECOPY;
      if (samples.some(fits)) return new VadShape(offset, shift);
    }
    return new VadShape(offset, undefined);
  }

  /**
   * Reads a process's tree, by address.
   *
   * @param kernel the kernel's address space
   * @param object the process's object
   * @param user the process's address space
   */
  read(
    kernel: AddressSpace,
    object: number,
    user: AddressSpace,
    limit: number = MAX_LISTING,
  ): Listing<MemoryMap> {
    const items: MemoryMap[] = [];
    const root = kernel.readS64(object, this.offset);
    if (root === 0) return { items, end: { complete: true } };
    let lastEnd = -1;
    const end = visitInOrder(kernel, root, limit, (node) => {
      const range = rangeOf(kernel, node);
      // A tree is sorted: a node out of order was torn, or is not a node.
      if (range === undefined || range.start <= lastEnd) return false;
      lastEnd = range.end - 1;
      items.push({ ...range, ...this.#describe(kernel, node, user, range.start, range.end) });
      return true;
    });
    return { items, end };
  }

  #describe(
    kernel: AddressSpace,
    node: number,
    user: AddressSpace,
    start: number,
    end: number,
  ): Pick<MemoryMap, "perms" | "fileOffset" | "name"> {
    const isShort = SHORT_TAGS.includes(kernel.readU32(node - 16, 4));
    const name = isShort ? "" : fileOf(kernel, node);
    const shift = this.protectionShift;
    const protection = shift === undefined ? undefined : protectionOf(kernel, node, shift);
    if (shift === undefined || protection === undefined) {
      return { perms: permsOfPages(user, start, end) + "p", fileOffset: 0, name };
    }
    const kind = kernel.readU32(node, FLAGS) >>> (shift - 3) & 7;
    const letters = (protection & PROTECT_NOTHING) === PROTECT_NOTHING
      ? "---"
      : PERMS[protection & 7] as string;
    return { perms: letters + (isShort || kind === KIND_IMAGE ? "p" : "s"), fileOffset: 0, name };
  }
}

function protectionOf(space: AddressSpace, node: number | undefined, shift: number): number | undefined {
  const flags = node === undefined ? Number.NaN : space.readU32(node, FLAGS);
  return Number.isNaN(flags) ? undefined : flags >>> shift & 31;
}

/** First address, and first past it; undefined when it cannot be read or is not a valid range. */
function rangeOf(space: AddressSpace, node: number): { start: number; end: number } | undefined {
  const first = space.readU32(node, STARTING_VPN) + space.readU8(node, STARTING_HIGH) * 2 ** 32;
  const last = space.readU32(node, ENDING_VPN) + space.readU8(node, ENDING_HIGH) * 2 ** 32;
  return first <= last ? { start: first * PAGE_BYTES, end: (last + 1) * PAGE_BYTES } : undefined;
}

/** The node that holds an address. */
function find(space: AddressSpace, root: number, address: number): number | undefined {
  let node = root;
  for (let depth = 0; depth < MAX_VAD_DEPTH && isKernelPointer(node); depth++) {
    const range = rangeOf(space, node);
    if (range === undefined) return undefined;
    if (address >= range.start && address < range.end) return node;
    const child = space.readS64(node, address < range.start ? LEFT : RIGHT);
    if (!isChild(space, child, node)) return undefined;
    node = child;
  }
  return undefined;
}

/** Whether a node's parent is the given one; the low three bits of its pointer are the balance. */
function isChild(space: AddressSpace, node: number, parent: number): boolean {
  if (!isKernelPointer(node) || !space.load64(node, PARENT)) return false;
  return space.hi * 2 ** 32 + ((space.lo & ~7) >>> 0) === parent;
}

/** Visits a tree in order; a torn subtree is skipped and reported. */
function visitInOrder(
  space: AddressSpace,
  root: number,
  limit: number,
  visit: (node: number) => boolean,
): ListEnd {
  let end: ListEnd = { complete: true };
  const broken = (at: number, reason: "cycle" | "wild-pointer" | "too-many" = "wild-pointer"): void => {
    if (end.complete) end = { complete: false, reason, at };
  };
  const seen = new Set<number>();
  const path: number[] = [];
  const descend = (from: number, parent: number): void => {
    let node = from;
    let above = parent;
    while (node !== 0) {
      if (seen.has(node)) return broken(node, "cycle");
      const good = above === 0 ? isKernelPointer(node) : isChild(space, node, above);
      if (!good || path.length >= MAX_VAD_DEPTH) return broken(above === 0 ? 0 : above);
      seen.add(node);
      path.push(node);
      above = node;
      node = space.readS64(node, LEFT);
    }
  };
  descend(root, 0);
  for (let visited = 0; path.length > 0; visited++) {
    const node = path.pop() as number;
    if (visited >= limit) {
      broken(node, "too-many");
      return end;
    }
    if (!visit(node)) broken(node);
    const right = space.readS64(node, RIGHT);
    if (right !== 0) descend(right, node);
  }
  return end;
}

/** The path of the file behind a section's node; "" for memory without a file, or where it does not read. */
function fileOf(space: AddressSpace, node: number): string {
  const subsection = space.readS64(node, SUBSECTION);
  if (!isKernelPointer(subsection)) return "";
  const area = space.readS64(subsection);
  if (!isKernelPointer(area) || !space.load64(area, FILE_POINTER)) return "";
  // A fast reference: its low four bits are a count.
  const file = space.hi * 2 ** 32 + ((space.lo & ~15) >>> 0);
  if (!isKernelPointer(file) || space.readU16(file) !== FILE_OBJECT_TYPE) return "";
  return readUnicode(space, file, FILE_NAME, PATH_BYTES) ?? "";
}

/** The permissions of the first pages that are present. */
function permsOfPages(user: AddressSpace, start: number, end: number): string {
  for (let i = 0, at = start; i < PROBED_PAGES && at < end; i++, at += PAGE_BYTES) {
    const page = user.probe(at);
    if (page.ok && page.user) return `r${page.writable ? "w" : "-"}${page.executable ? "x" : "-"}`;
  }
  return "---";
}
