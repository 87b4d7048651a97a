/**
 * A machine's RAM without the windows that chip sets cut into it: what MEMCTX tells of as memsegs.
 *
 * The flat view shows RAM as the guest's CPU sees it at this moment: the video hole, the BIOS shadow and
 * SMM's corner come and go while the firmware runs, and each would look like a change of the memory map. The
 * file behind them stays where it is, so pieces of one backend that lie alike (same distance of address and
 * file offset) are one, and each reaches as far as its backend does.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import type { BackendSize, RamPiece } from "../../ram/ram_layout.ts";

/**
 * Joins and completes a flat view's pieces.
 *
 * @param pieces sorted by address, checked against their backends
 * @param backends the backends that the pieces index
 * @returns the pieces, sorted by address; together they are every byte of every backend that has a piece
 * @throws {Fault} `refused` when completed pieces would overlap: then this rule does not know the map
 */
export function wholeRam(pieces: readonly RamPiece[], backends: readonly BackendSize[]): RamPiece[] {
  const joined: RamPiece[] = [];
  for (const [backend, { sizeBytes }] of backends.entries()) {
    const own = joinAlike(pieces.filter((piece) => piece.backend === backend));
    own.forEach((piece, i) => {
      const fileOffset = i === 0 ? 0 : piece.fileOffset;
      const end = own[i + 1]?.fileOffset ?? sizeBytes;
      const gpa = piece.gpa - (piece.fileOffset - fileOffset);
      joined.push({ gpa, fileOffset, sizeBytes: end - fileOffset, backend });
    });
  }
  joined.sort((a, b) => a.gpa - b.gpa);
  let end = 0;
  for (const { gpa, sizeBytes } of joined) {
    if (gpa < end) {
      throw new Fault(
        "refused",
        `Cannot use this memory map: RAM at 0x${gpa.toString(16)} would lie over other RAM`,
      );
    }
    end = gpa + sizeBytes;
  }
  return joined;
}

/** Bytes of RAM below the 4 GiB hole. */
export function lowBytesOf(pieces: readonly RamPiece[]): number {
  let low = 0;
  for (const { gpa, sizeBytes } of pieces) if (gpa < 2 ** 32) low = gpa + sizeBytes;
  return low;
}

/** Joins pieces of one backend that lie alike; sorted by file offset. */
function joinAlike(pieces: readonly RamPiece[]): RamPiece[] {
  const out: RamPiece[] = [];
  for (const piece of [...pieces].sort((a, b) => a.fileOffset - b.fileOffset)) {
    const last = out[out.length - 1];
    if (last !== undefined && last.gpa - last.fileOffset === piece.gpa - piece.fileOffset) {
      const sizeBytes = piece.fileOffset + piece.sizeBytes - last.fileOffset;
      out[out.length - 1] = { ...last, sizeBytes };
    } else out.push(piece);
  }
  return out;
}
