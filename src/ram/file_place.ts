/**
 * Identifies the file of a descriptor as /proc/PID/maps does: by device and inode. This is found out without
 * any request to the file's own file system, which a hostile user may serve (FUSE, or an overlay over it in a
 * mount namespace of his own) and never answer.
 *
 * On btrfs and on an overlay, fstat returns other numbers than /proc/PID/maps (measured: a separate device
 * for each subvolume or layer). maps shows the mount's device, which is in mountinfo. Memory without a name
 * (memfd) is in a mount of the kernel's that is in no mountinfo; a memfd of our own reveals its number.
 * @module
 */
import { createHugeMemfd, createMemfd, statFd } from "../../ffi/memfd.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { Fault } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import type { HostProcess } from "./host_process.ts";

/** Types of file systems that the kernel implements itself, in memory or on a disk. */
const LOCAL: ReadonlySet<string> = new Set([
  ...["tmpfs", "ramfs", "hugetlbfs", "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs"],
]);

/** A file, as identified in maps. */
export interface FilePlace {
  /** Its device: "254:0". */
  readonly device: string;
  /** Its inode there. */
  readonly inode: number;
  /** Whether it is memory without a name. */
  readonly nameless: boolean;
}

/** A mount. */
export interface Mount {
  /** Its device: "254:0". */
  readonly device: string;
  /** The type of its file system: "ext4". */
  readonly type: string;
}

/** The relevant lines of /proc/PID/fdinfo/N. */
export interface DescriptorInfo {
  /** Flags of open(2). */
  readonly flags: number;
  /** The mount in which it was opened. */
  readonly mount: number;
  /** Its inode; undefined before Linux 5.14. */
  readonly inode: number | undefined;
}

/** Parses /proc/PID/fdinfo/N. */
export function parseDescriptorInfo(text: string): DescriptorInfo {
  const field = (name: string): string | undefined => new RegExp(`^${name}:\\t(\\d+)$`, "m").exec(text)?.[1];
  const inode = field("ino");
  return {
    flags: parseInt(field("flags") ?? "0", 8),
    mount: Number(field("mnt_id") ?? -1),
    inode: inode === undefined ? undefined : Number(inode),
  };
}

/** Parses /proc/PID/mountinfo: mounts by id. */
export function parseMounts(text: string): Map<number, Mount> {
  const mounts = new Map<number, Mount>();
  for (const line of text.split("\n")) {
    // Id, parent, device, root, mount point, options, any number of fields, a dash, the type.
    const match = /^(\d+) \d+ (\d+:\d+) [^\n]*? - (\S+) /.exec(line);
    if (match === null) continue;
    const [, id, device, type] = match as unknown as [string, string, string, string];
    mounts.set(Number(id), { device, type });
  }
  return mounts;
}

/** A device number from stat(2) in mountinfo's notation. */
export function deviceName(dev: number): string {
  const [high, low] = [Math.floor(dev / 2 ** 32), dev >>> 0];
  const major = ((low >>> 8) & 0xfff) | (high & ~0xfff);
  const minor = (low & 0xff) | ((low >>> 12) & ~0xff);
  return `${major >>> 0}:${minor >>> 0}`;
}

/** Identifies a process's files. */
export class FilePlaces {
  readonly #process: HostProcess;
  #theirs: ReadonlyMap<number, Mount> | undefined;
  #ours: ReadonlyMap<number, Mount> | undefined;
  readonly #nameless = new NamelessMounts();

  /** Starts without reading. */
  constructor(process: HostProcess) {
    this.#process = process;
  }

  /**
   * The file of a descriptor of ours.
   *
   * @param file from {@linkcode HostProcess.pin}
   * @throws {Fault} `refused` for one in a file system that this host's administrator has not mounted, or
   *   whose server could block us
   */
  of(file: OwnedFd): FilePlace {
    const { mount: id, inode } = ownDescriptorInfo(file.fd);
    if (this.#nameless.has(id)) {
      const status = statFd(file.fd);
      return { device: deviceName(status.dev), inode: status.ino, nameless: true };
    }
    this.#ours ??= parseMounts(Deno.readTextFileSync("/proc/self/mountinfo"));
    let mount = this.#ours.get(id);
    if (mount === undefined) {
      this.#theirs ??= parseMounts(this.#process.read("mountinfo"));
      mount = this.#theirs.get(id);
    }
    const whyNot = this.#whyNot(mount);
    if (mount === undefined || whyNot !== "") {
      const { pid } = this.#process;
      throw new Fault("refused", `Cannot use a file of process ${pid} as RAM: ${whyNot}; use a memfd`);
    }
    return { device: mount.device, inode: inode ?? statFd(file.fd).ino, nameless: false };
  }

  /** Why a file system must not be accessed; "" if it may. */
  #whyNot(mount: Mount | undefined): string {
    if (mount === undefined) return "it is in no file system that is mounted";
    const { device, type } = mount;
    if (LOCAL.has(type)) return "";
    if (type.startsWith("fuse")) {
      return `its file system (${printable(type)}) has a server that may never answer`;
    }
    // In a mount namespace of his own, a user can mount anything, for instance an overlay over a FUSE.
    const isOurs = [...this.#ours?.values() ?? []].some((own) => own.device === device);
    return isOurs ? "" : `its file system (${printable(type)}) is not mounted where vmsig runs`;
  }
}

/** The flags and mount of a descriptor of this process. */
export function ownDescriptorInfo(fd: number): DescriptorInfo {
  return parseDescriptorInfo(Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`));
}

/**
 * Ids of the kernel's own mounts for memfds: one for normal pages, one per size of huge pages. Each is looked
 * up only if the previous ones did not match.
 */
class NamelessMounts {
  readonly #known = new Set<number>();
  readonly #sizes = [0, 21, 30];

  has(mount: number): boolean {
    while (!this.#known.has(mount)) {
      const log2Bytes = this.#sizes.shift();
      if (log2Bytes === undefined) return false;
      using file = log2Bytes === 0
        ? createMemfd("vmsig-mount", 0)
        : createHugeMemfd("vmsig-mount", log2Bytes);
      if (file !== undefined) this.#known.add(ownDescriptorInfo(file.fd).mount);
    }
    return true;
  }
}
