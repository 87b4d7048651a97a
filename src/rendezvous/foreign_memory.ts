/**
 * Memory that the other side of a rendezvous hands over. It may be anything: it is checked in an order in
 * which no question that is asked of it can wait for its maker, or be answered differently later.
 *
 * Only a memfd that is sealed against shrinking will do: it cannot be cut under the mapping, and its pages
 * are the kernel's and no server's. One of huge pages is refused as well, for it can be mapped and unmapped
 * in huge pages only.
 * @module
 */
import { createMemfd, getSeals, SEAL, statFd } from "../../ffi/memfd.ts";
import { isOsError } from "../../ffi/os_error.ts";

/** Bytes of the memory, or why it is not to be used. */
export type ForeignMemory =
  | { readonly ok: true; readonly sizeBytes: number }
  | { readonly ok: false; readonly reason: string };

const WRONG_KIND: ForeignMemory = {
  ok: false,
  reason: "is not a memfd that is sealed against shrinking",
};

/** Looks at memory that was handed over; the descriptor is borrowed. */
export function inspectMemory(fd: number): ForeignMemory {
  // First whether it is a memfd at all: asking a file for its size may have to wait for whoever serves the
  // file.
  if ((sealsOf(fd) & SEAL.SHRINK) === 0) return WRONG_KIND;
  const status = statFd(fd);
  if (!status.isRegular) return WRONG_KIND;
  if (status.dev !== memfdDevice()) return { ok: false, reason: "is made of huge pages" };
  return { ok: true, sizeBytes: status.sizeBytes };
}

function sealsOf(fd: number): number {
  try {
    return getSeals(fd);
  } catch (error) {
    if (isOsError(error, "EBADF")) return 0; // opened by O_PATH: good for nothing
    throw error;
  }
}

let device: number | undefined;

/** The one file system of all memfds; those of huge pages are on another. */
function memfdDevice(): number {
  if (device !== undefined) return device;
  using own = createMemfd("vmsig-memfd-device", 0);
  return device = statFd(own.fd).dev;
}
