/**
 * The mounts of a namespace: a list before 6.8, a red-black tree since. Both are counted, and the tree's
 * depth is bounded.
 * @module
 */
import { MAX_GUEST_MOUNTS } from "../../base/limits.ts";
import type { Mount, Unsupported } from "../insight.ts";
import type { ListEnd, Listing } from "../process.ts";
import { FilePath } from "./file_path.ts";
import type { KernelView } from "./kernel_view.ts";
import type { KernelTypes } from "./kernel_types.ts";

const NAME_BYTES = 4096;
const MNT_READONLY = 0x40;
const SB_RDONLY = 1;
/** A balanced tree of so many mounts is less deep. */
const MAX_TREE_DEPTH = 64;
const FIELDS = [
  "task_struct.nsproxy",
  "nsproxy.mnt_ns",
  "mount.mnt_parent",
  "mount.mnt_mountpoint",
  "mount.mnt",
  "mount.mnt_devname",
  "vfsmount.mnt_sb",
  "vfsmount.mnt_flags",
  "super_block.s_type",
  "super_block.s_flags",
  "file_system_type.name",
] as const;

/** Reads mounts of one kernel. */
export class MountList {
  readonly #view: KernelView;
  readonly #types: KernelTypes;
  readonly #paths: FilePath;
  readonly #at: readonly number[] | undefined;

  /**
   * Looks the fields up.
   *
   * @param view the kernel
   * @param types its types
   */
  constructor(view: KernelView, types: KernelTypes) {
    this.#view = view;
    this.#types = types;
    this.#paths = new FilePath(view);
    const at = FIELDS.map((field) => types.at(field));
    this.#at = at.includes(undefined) ? undefined : at as number[];
  }

  /** What is mounted in the namespace of a task_struct. */
  read(task: number): Listing<Mount> | Unsupported {
    if (this.#at === undefined) return { unsupported: "its BTF lacks a field of the mounts" };
    const [proxyAt, namespaceAt] = this.#at as [number, number];
    const proxy = this.#view.pointer(task, proxyAt);
    const namespace = proxy === undefined ? undefined : this.#view.pointer(proxy, namespaceAt);
    if (namespace === undefined) {
      return { items: [], end: { complete: false, reason: "wild-pointer", at: task } };
    }
    const items: Mount[] = [];
    const seen = new Set<number>();
    const visit = (mount: number): ListEnd | undefined => {
      if (seen.has(mount)) return { complete: false, reason: "cycle", at: mount };
      if (items.length >= MAX_GUEST_MOUNTS) return { complete: false, reason: "too-many", at: mount };
      seen.add(mount);
      const found = this.#describe(mount);
      if (found === "wild") return { complete: false, reason: "wild-pointer", at: mount };
      if (found !== undefined) items.push(found);
      return undefined;
    };
    const [root, node] = [this.#types.at("mnt_namespace.mounts.rb_node"), this.#types.at("mount.mnt_node")];
    if (root !== undefined && node !== undefined) {
      const end = this.#tree(this.#view.space.readS64(namespace, root), node, 0, visit);
      return { items, end: end ?? { complete: true } };
    }
    const [head, link] = [this.#types.at("mnt_namespace.list"), this.#types.at("mount.mnt_list")];
    if (head === undefined || link === undefined) {
      return { unsupported: "its namespace keeps mounts in a way that is not known" };
    }
    return { items, end: this.#list(namespace + head, link, visit) };
  }

  #list(head: number, link: number, visit: (mount: number) => ListEnd | undefined): ListEnd {
    let at = head;
    for (;;) {
      const next = this.#view.pointer(at, 0);
      if (next === undefined) return { complete: false, reason: "wild-pointer", at };
      if (next === head) return { complete: true };
      const end = visit(next - link);
      if (end !== undefined) return end;
      at = next;
    }
  }

  #tree(
    node: number,
    link: number,
    depth: number,
    visit: (mount: number) => ListEnd | undefined,
  ): ListEnd | undefined {
    if (node === 0) return undefined;
    // rb_node: parent and colour, right, left.
    const [right, left] = [this.#view.space.readS64(node, 8), this.#view.space.readS64(node, 16)];
    if (depth > MAX_TREE_DEPTH || !(node < 0) || Number.isNaN(right) || Number.isNaN(left)) {
      return { complete: false, reason: "wild-pointer", at: node };
    }
    return this.#tree(left, link, depth + 1, visit) ?? visit(node - link) ??
      this.#tree(right, link, depth + 1, visit);
  }

  #describe(mount: number): Mount | "wild" | undefined {
    const [, , parentAt, pointAt, mntAt, nameAt, sbAt, flagsAt, typeAt, sbFlagsAt, typeNameAt] = this
      .#at as number[] as [
        number,
        number,
        number,
        number,
        number,
        number,
        number,
        number,
        number,
        number,
        number,
      ];
    const view = this.#view;
    const { space } = view;
    const parent = view.pointer(mount, parentAt);
    const point = view.pointer(mount, pointAt);
    const sb = view.pointer(mount, mntAt + sbAt);
    const type = sb === undefined ? undefined : view.pointer(sb, typeAt);
    if (parent === undefined || point === undefined || sb === undefined || type === undefined) return "wild";
    const typeName = space.readS64(type, typeNameAt);
    const source = space.readS64(mount, nameAt);
    // 6.8 and later hold a cursor of /proc/PID/mounts in the list: it is not a mount and has no name.
    if (source === 0 && typeName === 0) return undefined;
    const flags = space.readU32(mount, mntAt + flagsAt) & MNT_READONLY |
      space.readU32(sb, sbFlagsAt) & SB_RDONLY;
    return {
      source: source < 0 ? space.cstring(source, NAME_BYTES) ?? "" : "none",
      target: this.#paths.at(parent + mntAt, point),
      type: typeName < 0 ? space.cstring(typeName, 64) ?? "" : "",
      readOnly: flags !== 0,
    };
  }
}
