/**
 * The layout of a machine's RAM: which part of which backend is at which guest-physical address. A plain
 * list, made from QEMU's flat view if there is a monitor, otherwise from the machine's rule; both are checked
 * against the backends' sizes.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { MAX_GUEST_GPA } from "../base/limits.ts";

/** A part of a backend in the guest's physical address space (src/event/PROTOCOL.md: memseg). */
export interface RamPiece {
  /** Guest-physical address. */
  readonly gpa: number;
  /** Its offset in the backend's file. */
  readonly fileOffset: number;
  /** Its size. */
  readonly sizeBytes: number;
  /** The backend: index into the list of backends. */
  readonly backend: number;
}

/** A backend, as used by a layout. */
export interface BackendSize {
  /** Its id, which the flat view contains. */
  readonly id: string;
  /** Its size. */
  readonly sizeBytes: number;
}

const PAGE_BYTES = 4096;

/**
 * Whether a piece is valid: the text that it comes from may have an end before its start, or numbers that a
 * double rounds.
 */
function isRange({ gpa, fileOffset, sizeBytes }: RamPiece): boolean {
  return gpa >= 0 && sizeBytes > 0 && gpa + sizeBytes <= MAX_GUEST_GPA && Number.isSafeInteger(fileOffset) &&
    fileOffset >= 0;
}

/**
 * Sorts pieces, merges adjacent ones, and checks them.
 *
 * @throws {Fault} `refused` when they overlap, are not whole pages, or exceed their backend
 */
export function checkedLayout(pieces: readonly RamPiece[], backends: readonly BackendSize[]): RamPiece[] {
  const sorted = [...pieces].sort((a, b) => a.gpa - b.gpa);
  const out: RamPiece[] = [];
  for (const piece of sorted) {
    const backend = backends[piece.backend];
    const last = out[out.length - 1];
    if (!isRange(piece)) {
      throw new Fault(
        "refused",
        `Cannot use this memory map: a piece of RAM at 0x${
          piece.gpa.toString(16)
        } ends before it begins, or past what a guest can address`,
      );
    }
    if (backend === undefined || piece.fileOffset + piece.sizeBytes > backend.sizeBytes) {
      throw new Fault(
        "refused",
        `Cannot use this memory map: 0x${piece.gpa.toString(16)} lies past the end of backend ${
          backend?.id ?? piece.backend
        }`,
      );
    }
    if (
      piece.gpa % PAGE_BYTES !== 0 || piece.fileOffset % PAGE_BYTES !== 0 ||
      piece.sizeBytes % PAGE_BYTES !== 0
    ) {
      throw new Fault(
        "refused",
        `Cannot use this memory map: 0x${piece.gpa.toString(16)} is not in whole pages`,
      );
    }
    if (last !== undefined && last.gpa + last.sizeBytes > piece.gpa) {
      throw new Fault(
        "refused",
        `Cannot use this memory map: two pieces of RAM at 0x${piece.gpa.toString(16)}`,
      );
    }
    if (
      last !== undefined && last.backend === piece.backend && last.gpa + last.sizeBytes === piece.gpa &&
      last.fileOffset + last.sizeBytes === piece.fileOffset
    ) {
      out[out.length - 1] = { ...last, sizeBytes: last.sizeBytes + piece.sizeBytes };
    } else {
      out.push(piece);
    }
  }
  if (out.length === 0) {
    throw new Fault("refused", "Cannot use this memory map: it has no RAM of these backends");
  }
  return out;
}

/** Places backends one after the other, contiguously from `base` on. */
export function runLayout(backends: readonly BackendSize[], base: number): RamPiece[] {
  let gpa = base;
  const pieces = backends.map(({ sizeBytes }, backend): RamPiece => {
    const piece = { gpa, fileOffset: 0, sizeBytes, backend };
    gpa += sizeBytes;
    return piece;
  });
  return checkedLayout(pieces, backends);
}

/** Places backends one after the other, below `low` and from 4 GiB on. */
export function splitLayout(backends: readonly BackendSize[], low: number): RamPiece[] {
  const pieces: RamPiece[] = [];
  let offset = 0;
  backends.forEach(({ sizeBytes }, backend) => {
    const below = Math.max(0, Math.min(sizeBytes, low - offset));
    if (below > 0) pieces.push({ gpa: offset, fileOffset: 0, sizeBytes: below, backend });
    if (below < sizeBytes) {
      const gpa = 2 ** 32 + Math.max(0, offset - low);
      pieces.push({ gpa, fileOffset: below, sizeBytes: sizeBytes - below, backend });
    }
    offset += sizeBytes;
  });
  return checkedLayout(pieces, backends);
}
