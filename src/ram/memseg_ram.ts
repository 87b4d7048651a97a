/**
 * Guest RAM from a MEMCTX event: its memsegs and read-only descriptors (src/event/PROTOCOL.md). Used by
 * controls that read a guest's memory themselves. A peer's numbers are checked before anything is mapped.
 * @module
 */
import { isOsError } from "../../ffi/os_error.ts";
import { OPEN, reopen, statFd } from "../../ffi/memfd.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { Fault } from "../base/fault.ts";
import { readU64 } from "../base/layout.ts";
import { PhysicalMemory } from "../guest/physical_memory.ts";
import { MappedRam } from "./mapped_ram.ts";
import { checkedLayout, type RamPiece } from "./ram_layout.ts";

/** Bytes of a memseg (src/event/PROTOCOL.md). */
export const MEMSEG_BYTES = 32;

/**
 * Opens the RAM of a MEMCTX.
 *
 * @param body the event's body: memsegs
 * @param fds its descriptors, borrowed: each is opened again if this process may, otherwise duplicated
 * @param description its description for a person
 * @returns the memory; its disposal unmaps everything
 * @throws {Fault} `protocol-error` for an invalid body, `refused` for segments outside their files
 * @throws {OsError} when a file does not map
 */
export function openMemsegs(
  body: Uint8Array,
  fds: readonly OwnedFd[],
  description: string,
): PhysicalMemory {
  const sizes = fds.map(({ fd }, i) => ({ id: `fd ${i}`, sizeBytes: statFd(fd).sizeBytes }));
  const pieces = checkedLayout(parseMemsegs(body, fds.length), sizes);
  const open = (huge: boolean): MappedRam => {
    const files = fds.map((fd, i) => ({
      fd: openAgain(fd),
      sizeBytes: (sizes[i] as { sizeBytes: number }).sizeBytes,
      huge,
    }));
    return new MappedRam(description, files, pieces);
  };
  try {
    return new PhysicalMemory(open(false));
  } catch (error) {
    // Huge pages can only be mapped as a whole.
    if (!isOsError(error, "EINVAL")) throw error;
    return new PhysicalMemory(open(true));
  }
}

/** Reads memsegs. */
function parseMemsegs(body: Uint8Array, fdCount: number): RamPiece[] {
  if (body.length === 0 || body.length % MEMSEG_BYTES !== 0) {
    throw new Fault("protocol-error", `Cannot read a context: its body has ${body.length} bytes`);
  }
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const pieces: RamPiece[] = [];
  for (let at = 0; at < body.length; at += MEMSEG_BYTES) {
    const backend = view.getUint32(at + 24, true);
    if (backend >= fdCount) {
      throw new Fault("protocol-error", `Cannot read a context: a segment names descriptor ${backend}`);
    }
    const [gpa, fileOffset, sizeBytes] = [readU64(view, at), readU64(view, at + 8), readU64(view, at + 16)];
    pieces.push({ gpa, fileOffset, sizeBytes, backend });
  }
  return pieces;
}

/** A descriptor with a position of its own, because looking for holes moves it. */
function openAgain(fd: OwnedFd): OwnedFd {
  try {
    return reopen(fd.fd, OPEN.READ_ONLY);
  } catch (error) {
    // Another user's memfd may not be opened again, nor a file with a lease; but this descriptor was made for
    // us by the socket.
    if (!isOsError(error, "EACCES") && !isOsError(error, "EPERM") && !isOsError(error, "EAGAIN")) throw error;
    return fd.dup();
  }
}
