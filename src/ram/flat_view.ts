/**
 * QEMU's flat view, the text of `info mtree -f`: which RAM block lies where, as the machine has it now.
 *
 * Only the view of the address space "memory" counts; lines look like `0000000000000000-000000000009ffff
 * (prio 0, ram): ram0`, with ` @OFFSET` when the piece does not start at its block's beginning and ` KVM`
 * behind. Blocks that are not RAM backends (firmware, video memory) are left out; RAM that shows as rom (the
 * BIOS shadow) is in.
 * @module
 */
import { MAX_FLAT_VIEW_PIECES } from "../base/limits.ts";
import { Fault } from "../base/fault.ts";
import { type BackendSize, checkedLayout, type RamPiece } from "./ram_layout.ts";

const LINE = /^\s*([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (\w+)\): (\S+)(?: @([0-9a-f]{16}))?/;

/**
 * The pieces of the given backends.
 *
 * @param text what `info mtree -f` printed
 * @param backends the RAM backends, by id
 * @throws {Fault} `refused` when it has no such view, or pieces that do not fit their backend
 */
export function parseFlatView(text: string, backends: readonly BackendSize[]): RamPiece[] {
  const view = viewOfMemory(text);
  if (view === undefined) {
    throw new Fault(
      "refused",
      'Cannot read QEMU\'s memory map: `info mtree -f` shows no flat view of "memory"',
    );
  }
  const byId = new Map(backends.map((backend, i) => [backend.id, i]));
  const pieces: RamPiece[] = [];
  for (const line of view) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, from, to, kind, name, at] = match as unknown as [
      string,
      string,
      string,
      string,
      string,
      string | undefined,
    ];
    const backend = byId.get(name);
    if (backend === undefined || (kind !== "ram" && kind !== "rom")) continue;
    const gpa = parseInt(from, 16);
    const fileOffset = at === undefined ? 0 : parseInt(at, 16);
    pieces.push({ gpa, fileOffset, sizeBytes: parseInt(to, 16) - gpa + 1, backend });
    if (pieces.length > MAX_FLAT_VIEW_PIECES) {
      throw new Fault(
        "refused",
        `Cannot use QEMU's memory map: more than ${MAX_FLAT_VIEW_PIECES} pieces of RAM`,
      );
    }
  }
  return checkedLayout(pieces, backends);
}

/** The lines of the flat view whose head names the address space "memory". */
function viewOfMemory(text: string): string[] | undefined {
  for (const block of text.replaceAll("\r", "").split(/^FlatView /m)) {
    const lines = block.split("\n");
    if (lines.some((line) => /^\s+AS "memory"/.test(line))) return lines;
  }
  return undefined;
}
