/**
 * Checks memory that the other side of a rendezvous passes. It may be anything, so the checks are in an order
 * in which none can block on its creator, or have a different result later.
 *
 * Only a memfd sealed against shrinking is accepted: it cannot be truncated while it is mapped, and its pages
 * come from the kernel and not from a file server. One with huge pages is refused as well, because it can
 * only be mapped and unmapped in huge pages.
 * @module
 */
import { createMemfd, getSeals, SEAL, statFd } from "../../ffi/memfd.ts";
import { isOsError } from "../../ffi/os_error.ts";

/** The memory's size in bytes, or why it is not accepted. */
export type ForeignMemory =
  | { readonly ok: true; readonly sizeBytes: number }
  | { readonly ok: false; readonly reason: string };

const WRONG_KIND: ForeignMemory = {
  ok: false,
  reason: "is not a memfd that is sealed against shrinking",
};

/** Checks memory that was passed; the descriptor is borrowed. */
export function inspectMemory(fd: number): ForeignMemory {
  // First whether it is a memfd at all: asking another file for its size may block on its server.
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

/** The file system of all memfds; those with huge pages are on another. */
function memfdDevice(): number {
  if (device !== undefined) return device;
  using own = createMemfd("vmsig-memfd-device", 0);
  return device = statFd(own.fd).dev;
}
