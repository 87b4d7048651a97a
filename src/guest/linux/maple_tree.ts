/**
 * The maple tree, in which kernels since 6.1 keep a process's mappings: entries in order of their addresses.
 *
 * A node's pointer has its type in its low byte; under 5 levels a double cannot hold such a pointer exactly,
 * so the halves are separated first. The walk is bounded in depth and entries, and visits each node once. It
 * does not follow RCU: a torn tree shows as a wild pointer or as entries out of order, which the caller
 * reports.
 * @module
 */
import { MAX_MAPLE_DEPTH } from "../../base/limits.ts";
import type { ListEnd } from "../process.ts";
import { isKernelPointer, type KernelView } from "./kernel_view.ts";

const HIGH = 2 ** 32;
const TYPE = { dense: 0, leaf64: 1, range64: 2, arange64: 3 } as const;
/** Where a node type's pivots and slots lie, and how many there are. */
const SHAPE = {
  leaf64: { pivots: 15, slots: 16, slotsAt: 0x80, endAt: 0xf8 },
  range64: { pivots: 15, slots: 16, slotsAt: 0x80, endAt: 0xf8 },
  arange64: { pivots: 9, slots: 10, slotsAt: 0x50, endAt: 0xf0 },
} as const;
const PIVOTS_AT = 8;

/** Reads maple trees of one kernel. */
export class MapleTree {
  readonly #view: KernelView;
  #left = 0;

  /**
   * Reads nothing yet.
   *
   * @param view the kernel
   */
  constructor(view: KernelView) {
    this.#view = view;
  }

  /**
   * Calls `visit` with each entry, lowest address first.
   *
   * @param tree address of the struct maple_tree
   * @param rootAt offset of ma_root in it
   * @param limit how many entries and nodes at most
   * @param visit gets an entry's pointer; false stops
   * @returns how it ended
   */
  read(tree: number, rootAt: number, limit: number, visit: (entry: number) => boolean): ListEnd {
    this.#left = limit;
    const space = this.#view.space;
    if (!space.load64(tree, rootAt)) return { complete: false, reason: "wild-pointer", at: tree };
    const { hi, lo } = space;
    if (hi === 0 && lo === 0) return { complete: true };
    if ((lo & 3) !== 2 || hi >= 0) {
      // A tree with a single entry at index 0 keeps it in the root itself.
      const entry = hi * HIGH + (lo >>> 0);
      if (!isKernelPointer(entry)) return { complete: false, reason: "wild-pointer", at: tree };
      visit(entry);
      return { complete: true };
    }
    return this.#node(hi, lo, 0, visit) ?? { complete: true };
  }

  /** Visits a node's entries; undefined when all went well. */
  #node(hi: number, lo: number, depth: number, visit: (entry: number) => boolean): ListEnd | undefined {
    const space = this.#view.space;
    const node = hi * HIGH + ((lo & ~0xff) >>> 0);
    if (depth > MAX_MAPLE_DEPTH) return { complete: false, reason: "cycle", at: node };
    const type = lo >>> 3 & 15;
    const shape = type === TYPE.leaf64
      ? SHAPE.leaf64
      : type === TYPE.range64
      ? SHAPE.range64
      : type === TYPE.arange64
      ? SHAPE.arange64
      : undefined;
    if (shape === undefined) return { complete: false, reason: "wild-pointer", at: node };
    for (let i = 0; i < shape.slots; i++) {
      if (this.#left-- <= 0) return { complete: false, reason: "too-many", at: node };
      if (!space.load64(node, shape.slotsAt + 8 * i)) {
        return { complete: false, reason: "wild-pointer", at: node };
      }
      const slotHi = space.hi;
      const slotLo = space.lo;
      if (slotHi !== 0 || slotLo !== 0) {
        const end = type === TYPE.leaf64
          ? this.#leaf(slotHi, slotLo, node, visit)
          : this.#inner(slotHi, slotLo, node, depth, visit);
        if (end !== undefined) return end;
      }
      // A pivot of 0 behind the first, or of all ones, ends the node; so does the slot that has no pivot.
      if (i >= shape.pivots || !space.load64(node, PIVOTS_AT + 8 * i)) break;
      if ((space.hi === 0 && space.lo === 0) || (space.hi === -1 && space.lo === -1)) break;
    }
    return undefined;
  }

  #leaf(hi: number, lo: number, node: number, visit: (entry: number) => boolean): ListEnd | undefined {
    // Values below 4096 with tag bits are the tree's own marks (reserved, zero), not entries.
    if (hi === 0 && (lo >>> 0) < 4096) return undefined;
    const entry = hi * HIGH + (lo >>> 0);
    if ((lo & 7) !== 0 || !isKernelPointer(entry)) {
      return { complete: false, reason: "wild-pointer", at: node };
    }
    return visit(entry) ? undefined : { complete: false, reason: "too-many", at: entry };
  }

  #inner(
    hi: number,
    lo: number,
    node: number,
    depth: number,
    visit: (entry: number) => boolean,
  ): ListEnd | undefined {
    if (hi >= 0) return { complete: false, reason: "wild-pointer", at: node };
    return this.#node(hi, lo, depth + 1, visit);
  }
}
