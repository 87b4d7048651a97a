/**
 * A guest's RAM from what MEMCTX brings: read-only descriptors and the list of segments. Checked like everything that comes over a
 * socket: sizes against the files, segments against each other.
 * @module
 */
import { statFd } from "../../../ffi/memfd.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { Fault } from "../../base/fault.ts";
import { PhysicalMemory } from "../../guest/physical_memory.ts";
import { MappedRam } from "../../ram/mapped_ram.ts";
import { checkedLayout } from "../../ram/ram_layout.ts";

/** One run of guest memory (contract, memseg). */
export interface EndpointSegment {
  /** Guest-physical address. */
  readonly gpa: number;
  /** Where it is in its file. */
  readonly fileOffset: number;
  /** How many bytes. */
  readonly bytes: number;
  /** Which of the descriptors. */
  readonly fdIndex: number;
}

/**
 * Maps a guest's RAM read-only.
 *
 * @param what for people: "RAM of endpoint 3"
 * @param segments as MEMCTX lists them
 * @param fds its descriptors; owned from now on, also when this throws
 * @throws {Fault} `refused` when they do not agree, OsError when a file does not map
 */
export function openEndpointRam(
  what: string,
  segments: readonly EndpointSegment[],
  fds: readonly OwnedFd[],
): PhysicalMemory {
  try {
    if (segments.length === 0 || fds.length === 0) {
      throw new Fault(
        "refused",
        `Cannot open the ${what}: the daemon gives no descriptor of it; give the VM a shared memory backend`,
      );
    }
    const files = fds.map((fd) => ({ fd, sizeBytes: statFd(fd.fd).sizeBytes, huge: false }));
    const pieces = checkedLayout(
      segments.map(({ gpa, fileOffset, bytes, fdIndex }) => ({
        gpa,
        fileOffset,
        sizeBytes: bytes,
        backend: fdIndex,
      })),
      files.map(({ sizeBytes }, i) => ({ id: `${i}`, sizeBytes })),
    );
    return new PhysicalMemory(new MappedRam(what, files, pieces));
  } catch (error) {
    for (const fd of fds) fd.close();
    throw error;
  }
}
