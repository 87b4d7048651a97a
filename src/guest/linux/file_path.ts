/**
 * The path of an open file, assembled from dentries and mounts like the kernel's d_path, relative to the
 * topmost root.
 *
 * Files without a name in a directory (memfd, shared memory, anonymous inodes) are written as in
 * /proc/PID/maps. Depth is bounded; if anything cannot be read, the path is "" rather than incomplete.
 * @module
 */
import { MAX_PATH_DEPTH } from "../../base/limits.ts";
import type { KernelView } from "./kernel_view.ts";

const NAME_BYTES = 256;

/** Reads paths of one kernel. */
export class FilePath {
  readonly #view: KernelView;
  readonly #offsets: readonly number[] | undefined;

  /**
   * Reads nothing yet.
   *
   * @param view the kernel
   */
  constructor(view: KernelView) {
    this.#view = view;
    this.#offsets = view.all(
      "file.f_path",
      "path.mnt",
      "path.dentry",
      "dentry.d_parent",
      "dentry.d_name",
      "dentry.d_hash",
      "qstr.name",
      "mount.mnt",
      "mount.mnt_parent",
      "mount.mnt_mountpoint",
      "vfsmount.mnt_root",
      "dentry.d_op",
    );
  }

  /** The path of a struct file; "" if it cannot be determined. */
  of(file: number): string {
    if (this.#offsets === undefined) return "";
    const [fPath, pathMnt, pathDentry] = this.#offsets as [number, number, number];
    const vfsmount = this.#view.pointer(file, fPath + pathMnt);
    const dentry = this.#view.pointer(file, fPath + pathDentry);
    if (vfsmount === undefined || dentry === undefined) return "";
    return this.#climb(vfsmount, dentry);
  }

  /** The path of a dentry in a mount, given by its struct vfsmount; "" when it cannot be told. */
  at(vfsmount: number, dentry: number): string {
    return this.#offsets === undefined ? "" : this.#climb(vfsmount, dentry);
  }

  #climb(vfsmount: number, first: number): string {
    const view = this.#view;
    const [, , , dParent, dName, dHash, qName, mntAt, mntParent, mntPoint, mntRoot] = this
      .#offsets as number[] as [
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
    let mount = vfsmount - mntAt;
    let dentry = first;
    let path = "";
    for (let depth = 0; depth < MAX_PATH_DEPTH; depth++) {
      const root = view.pointer(mount, mntAt + mntRoot);
      const parent = view.pointer(dentry, dParent);
      if (root === undefined || parent === undefined) return "";
      if (dentry === root) {
        const up = view.pointer(mount, mntParent);
        if (up === undefined) return "";
        if (up === mount) return this.#finish(path === "" ? "/" : path, first, dParent, dHash);
        const point = view.pointer(mount, mntPoint);
        if (point === undefined) return "";
        dentry = point;
        mount = up;
        continue;
      }
      if (dentry === parent) return this.#nameless(dentry, dName + qName);
      const name = this.#name(dentry, dName + qName);
      if (name === "") return "";
      path = `/${name}${path}`;
      dentry = parent;
    }
    return "";
  }

  /** A file that was unlinked has left its directory's hash. */
  #finish(path: string, dentry: number, dParent: number, dHash: number): string {
    const space = this.#view.space;
    const isRoot = space.readS64(dentry, dParent) === dentry;
    const unhashed = space.load64(dentry, dHash + 8) && space.hi === 0 && space.lo === 0;
    return unhashed && !isRoot ? `${path} (deleted)` : path;
  }

  /** A dentry that is its own parent without being a mount's root: only its own name is used. */
  #nameless(dentry: number, nameAt: number): string {
    const name = this.#name(dentry, nameAt);
    if (name === "") return "";
    const operations = this.#view.pointer(dentry, (this.#offsets as number[])[11] as number);
    return this.#isAnonymous(operations) ? `anon_inode:${name}` : `/${name} (deleted)`;
  }

  /**
   * Whether operations are those of anonymous inodes: by their symbol, or, where the kernel keeps no symbols
   * of data, by the function that names them.
   */
  #isAnonymous(operations: number | undefined): boolean {
    const view = this.#view;
    if (operations === undefined) return false;
    const anonymous = view.symbol("anon_inodefs_dentry_operations");
    if (anonymous !== undefined) return operations === anonymous;
    const namer = view.symbol("anon_inodefs_dname");
    const at = view.maybe("dentry_operations.d_dname");
    return namer !== undefined && at !== undefined && view.space.readS64(operations, at) === namer;
  }

  #name(dentry: number, nameAt: number): string {
    const at = this.#view.space.readS64(dentry, nameAt);
    return at < 0 ? this.#view.space.cstring(at, NAME_BYTES) ?? "" : "";
  }
}
