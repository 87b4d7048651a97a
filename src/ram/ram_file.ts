/**
 * One file of a QEMU's RAM, taken from the process once: everything that is asked about it, and everything
 * that is opened from it, uses that one descriptor, so that a process which changes its descriptors meanwhile
 * changes nothing.
 *
 * It is accepted as RAM if it is a regular file that the process has mapped shared and writable (by device
 * and inode, not by name: a process that maps a file in this way has opened it for writing), if it belongs to
 * the process's owner (file_owner.ts), and if its file system cannot block us (file_place.ts).
 * @module
 */
import {
  FILE_SYSTEM,
  type FileStatus,
  fileSystemOf,
  getSeals,
  OPEN,
  reopen,
  SEAL,
  statFd,
} from "../../ffi/memfd.ts";
import { isOsError, OsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { Fault } from "../base/fault.ts";
import { type FileOwners, mayOwn } from "./file_owner.ts";
import type { FilePlaces } from "./file_place.ts";
import { parseDescriptorInfo } from "./file_place.ts";
import type { HostProcess, ListedDescriptor } from "./host_process.ts";
import type { HostMapping } from "./process_maps.ts";

/** The kind of a backend's file. */
export type BackendKind = "memfd" | "file" | "hugetlbfs";

/** A file that may be a QEMU's RAM: marked with O_PATH, not opened. */
export interface RamCandidate {
  /** The O_PATH descriptor; owned. */
  readonly mark: OwnedFd;
  /** Its device and inode, as in maps: "0:1:4711". */
  readonly file: string;
  /** Its link's text in the process: a hint. */
  readonly target: string;
  /** The kind of file. */
  readonly kind: BackendKind;
  /** Whether it is a memfd: it has no name, so its mode was not chosen by an owner. */
  readonly memfd: boolean;
  /** Its size. */
  readonly sizeBytes: number;
  /** The first mapping of it in the process, and its offset. */
  readonly mapping: HostMapping;
}

/** What a descriptor is compared with. */
export interface RamLook {
  /** The process. */
  readonly process: HostProcess;
  /** Who may own its files. */
  readonly owners: FileOwners;
  /** Identifies its files. */
  readonly places: FilePlaces;
  /** Its shared, writable mappings. */
  readonly mappings: readonly HostMapping[];
}

const O_ACCMODE = 3;

/**
 * Marks a file of a process with O_PATH; {@linkcode openCandidate} opens the right one. Others may not be
 * accessible to us, such as an ivshmem device's with mode 0.
 *
 * @param listed the descriptor
 * @param isKnown called with the file's device and inode: true if it is not needed (again)
 * @returns undefined if the process does not have it mapped as RAM, or no longer open
 * @throws {Fault} `refused`, with the reason, for one that it has mapped and that does not belong to its
 *   owner
 */
export function takeRamFile(
  look: RamLook,
  { fd, target }: ListedDescriptor,
  isKnown: (file: string) => boolean,
): RamCandidate | undefined {
  const { process, places, mappings } = look;
  const mark = pin(process, fd);
  if (mark === undefined) return undefined;
  try {
    const place = places.of(mark);
    const file = fileName(place);
    const mapping = mappings.find((m) => fileName(m) === file);
    if (mapping === undefined || isKnown(file)) {
      mark.close();
      return undefined;
    }
    const status = statFd(mark.fd);
    check(look, target, status);
    const isHuge = fileSystemOf(mark.fd) === FILE_SYSTEM.HUGETLBFS;
    const { nameless: memfd } = place;
    const kind = isHuge ? "hugetlbfs" : memfd ? "memfd" : "file";
    return { mark, file, target, kind, memfd, sizeBytes: status.sizeBytes, mapping };
  } catch (error) {
    mark.close();
    throw error;
  }
}

/** How {@linkcode RamCandidate.file} names a file. */
export function fileName({ device, inode }: { readonly device: string; readonly inode: number }): string {
  return `${device}:${inode}`;
}

/**
 * Opens a candidate read-only.
 *
 * @throws {Fault} `refused`; `busy` when its owner holds a file lease on it
 */
export function openCandidate(process: HostProcess, { mark }: RamCandidate): OwnedFd {
  return openForReading(process, mark);
}

/** Whether a file is sealed like QEMU's memfds: its size is fixed. Only memory without a name can be. */
export function isSealed(fd: number): boolean {
  return (getSeals(fd) & SEAL.SHRINK) !== 0;
}

/** Marks the file of a descriptor that the process has open for reading and writing, like QEMU's RAM. */
function pin(process: HostProcess, fd: number): OwnedFd | undefined {
  try {
    // Only a first check that avoids work: the process may change it at once. What it has mapped is decisive.
    const { flags } = parseDescriptorInfo(process.read(`fdinfo/${fd}`));
    if ((flags & OPEN.PATH) !== 0 || (flags & O_ACCMODE) !== OPEN.READ_WRITE) return undefined;
    return process.pin(fd);
  } catch (error) {
    // Closed meanwhile; if the process has ended, the next read fails, too.
    if (error instanceof Fault && error.code === "no-endpoint") return undefined;
    throw error;
  }
}

function check({ process, owners }: RamLook, target: string, status: FileStatus): void {
  if (!status.isRegular) {
    throw new Fault(
      "refused",
      `Cannot use a file of process ${process.pid} as RAM: it is not a regular file`,
    );
  }
  if (mayOwn(owners, status.uid)) return;
  const what = target.startsWith("/memfd:") ? "a memfd" : "a file";
  throw new Fault(
    "refused",
    `Cannot use the RAM of process ${process.pid}: it is ${what} of user ${status.uid}, and the process runs as user ${owners.uid}; give it to that user (chown)`,
  );
}

function openForReading(process: HostProcess, file: OwnedFd): OwnedFd {
  try {
    return reopen(file.fd, OPEN.READ_ONLY | OPEN.NOCTTY);
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    // This attempt breaks a file lease of its owner, which ends after 45 s.
    throw new Fault(
      isOsError(error, "EAGAIN") ? "busy" : "refused",
      `Cannot open the RAM of QEMU ${process.pid}: ${error.reason}; run as QEMU's user, or as root`,
      { cause: error },
    );
  }
}
