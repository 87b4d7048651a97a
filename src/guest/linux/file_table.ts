/**
 * A process's open files, from its descriptor table, as in /proc/PID/fd and fdinfo. The table's size comes
 * from the guest and is bounded.
 * @module
 */
import { MAX_GUEST_DESCRIPTORS } from "../../base/limits.ts";
import type { OpenFile, Unsupported } from "../insight.ts";
import type { ListEnd, Listing } from "../process.ts";
import { FilePath } from "./file_path.ts";
import { isKernelPointer, type KernelView } from "./kernel_view.ts";
import type { KernelTypes } from "./kernel_types.ts";

const O_CLOEXEC = 0o2000000;
/** File types by the upper four bits of i_mode (S_IFMT). */
const TYPES: Readonly<Record<number, OpenFile["type"]>> = {
  1: "pipe",
  2: "char",
  4: "directory",
  6: "block",
  8: "file",
  10: "link",
  12: "socket",
};
const FIELDS = [
  "task_struct.files",
  "files_struct.fdt",
  "fdtable.max_fds",
  "fdtable.fd",
  "fdtable.close_on_exec",
  "file.f_inode",
  "file.f_flags",
  "file.f_pos",
  "inode.i_mode",
  "inode.i_ino",
] as const;

/** An open file with where its structures are. */
export interface FoundFile extends OpenFile {
  /** Address of the struct file. */
  readonly object: number;
  /** The inode's number. */
  readonly inode: number;
}

/** Reads descriptors of one kernel's processes. */
export class FileTable {
  readonly #view: KernelView;
  readonly #paths: FilePath;
  readonly #at: readonly number[] | undefined;

  /**
   * Looks up the fields; nothing of a process is read yet.
   *
   * @param view the kernel
   * @param types its types
   */
  constructor(view: KernelView, types: KernelTypes) {
    this.#view = view;
    this.#paths = new FilePath(view);
    const at = FIELDS.map((field) => types.at(field));
    this.#at = at.includes(undefined) ? undefined : at as number[];
  }

  /**
   * The open files of a task_struct, by descriptor; `onlySockets` leaves the others out unread.
   *
   * @param task its address
   */
  read(task: number, onlySockets = false): Listing<FoundFile> | Unsupported {
    if (this.#at === undefined) return { unsupported: "its BTF lacks a field of the descriptor table" };
    const [filesAt, fdtAt, maxAt, fdAt, execAt] = this.#at as [number, number, number, number, number];
    const { space } = this.#view;
    const items: FoundFile[] = [];
    const files = space.readS64(task, filesAt);
    // A process that is ending, and some kernel threads, have none.
    if (files === 0) return { items, end: { complete: true } };
    const broken = (at: number): Listing<FoundFile> => ({
      items,
      end: { complete: false, reason: "wild-pointer", at },
    });
    const table = isKernelPointer(files) ? this.#view.pointer(files, fdtAt) : undefined;
    const fds = table === undefined ? undefined : this.#view.pointer(table, fdAt);
    const exec = table === undefined ? undefined : this.#view.pointer(table, execAt);
    if (table === undefined || fds === undefined || exec === undefined) return broken(task);
    const max = space.readU32(table, maxAt);
    if (Number.isNaN(max)) return broken(table);
    let end: ListEnd = { complete: true };
    if (max > MAX_GUEST_DESCRIPTORS) end = { complete: false, reason: "too-many", at: table };
    for (let fd = 0; fd < Math.min(max, MAX_GUEST_DESCRIPTORS); fd++) {
      const file = space.readS64(fds, 8 * fd);
      if (file === 0) continue;
      const found = isKernelPointer(file) ? this.#describe(fd, file, exec, onlySockets) : undefined;
      if (found === undefined) return broken(Number.isNaN(file) ? fds : fds + 8 * fd);
      if (found !== "other") items.push(found);
    }
    return { items, end };
  }

  #describe(fd: number, file: number, exec: number, onlySockets: boolean): FoundFile | "other" | undefined {
    const [, , , , , inodeAt, flagsAt, posAt, modeAt, inoAt] = this.#at as number[] as [
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
    const { space } = this.#view;
    const inode = this.#view.pointer(file, inodeAt);
    if (inode === undefined) return undefined;
    const type = TYPES[space.readU16(inode, modeAt) >>> 12] ?? "anonymous";
    if (onlySockets && type !== "socket") return "other";
    const number = space.readU64(inode, inoAt);
    const closes = (space.readU32(exec, 4 * (fd >>> 5)) >>> (fd & 31) & 1) !== 0;
    const flags = space.readU32(file, flagsAt) & ~O_CLOEXEC;
    const path = type === "socket" ? `socket:[${number}]` : this.#paths.of(file);
    return {
      fd,
      type,
      path: path === "" && type === "pipe" ? `pipe:[${number}]` : path,
      flags: closes ? flags | O_CLOEXEC : flags,
      position: space.readS64(file, posAt),
      object: file,
      inode: number,
    };
  }
}
