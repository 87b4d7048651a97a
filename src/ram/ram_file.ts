/**
 * One file of a QEMU's RAM, taken from the process's table once: everything that is asked of it, and
 * everything that is opened from it, goes by that one descriptor, so that a process which changes its table
 * meanwhile changes nothing.
 *
 * It is believed to be RAM when it is a regular file that the process has mapped shared and for writing
 * (device and inode, not the name: whoever maps a file so has opened it for writing), when it belongs to who
 * the process is (file_owner.ts), and when its file system cannot keep us waiting (file_place.ts).
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

/** Which kind of file a backend is. */
export type BackendKind = "memfd" | "file" | "hugetlbfs";

/** A file that a QEMU may have as its RAM: marked, not opened. */
export interface RamCandidate {
  /** What the descriptor that was taken marks; owned. */
  readonly mark: OwnedFd;
  /** Its device and inode, as maps tell them: "0:1:4711". */
  readonly file: string;
  /** Its name in the process's table: a hint. */
  readonly target: string;
  /** Which kind of file. */
  readonly kind: BackendKind;
  /** Whether it is a memfd: it has no name, and so no owner's wish behind its mode. */
  readonly memfd: boolean;
  /** Its size. */
  readonly sizeBytes: number;
  /** Where the process has its first mapped part, and which that is. */
  readonly mapping: HostMapping;
}

/** What a descriptor is compared with. */
export interface RamLook {
  /** The process. */
  readonly process: HostProcess;
  /** Who may own its files. */
  readonly owners: FileOwners;
  /** Where its files are. */
  readonly places: FilePlaces;
  /** Its mappings that are shared and writable. */
  readonly mappings: readonly HostMapping[];
}

const O_ACCMODE = 3;

/**
 * Takes a file of a process, as a mark: it is opened ({@linkcode openCandidate}) when it is the right one.
 * Others need not be open to us: an ivshmem device's, say, whose mode is 0.
 *
 * @param listed which one
 * @param isKnown told the file's device and inode: true when it need not be taken (again)
 * @returns undefined when the process does not have it mapped as its RAM, or not open any more
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
 * Opens a candidate for reading alone.
 *
 * @throws {Fault} `refused`; `busy` when its owner holds a lease on it
 */
export function openCandidate(process: HostProcess, { mark }: RamCandidate): OwnedFd {
  return openForReading(process, mark);
}

/**
 * Whether a file is sealed as QEMU seals its memfds: its size is for ever. Only memory without a name can be.
 */
export function isSealed(fd: number): boolean {
  return (getSeals(fd) & SEAL.SHRINK) !== 0;
}

/** Marks the file of a descriptor that the process has open for reading and writing, as QEMU has its RAM. */
function pin(process: HostProcess, fd: number): OwnedFd | undefined {
  try {
    // Only a first look, which spares the rest: the process may change it at once. What counts is what it has
    // mapped.
    const { flags } = parseDescriptorInfo(process.read(`fdinfo/${fd}`));
    if ((flags & OPEN.PATH) !== 0 || (flags & O_ACCMODE) !== OPEN.READ_WRITE) return undefined;
    return process.pin(fd);
  } catch (error) {
    // Closed meanwhile; a process that has ended fails at the next look, too.
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
    // A lease of its owner's is broken by this very try, and gone after 45 s.
    throw new Fault(
      isOsError(error, "EAGAIN") ? "busy" : "refused",
      `Cannot open the RAM of QEMU ${process.pid}: ${error.errnoName}; run as QEMU's user, or as root`,
      { cause: error },
    );
  }
}
