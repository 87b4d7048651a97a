/**
 * QEMU's flat view, the text of `info mtree -f`: where each RAM block currently is in the machine.
 *
 * Only the view of the address space "memory" counts; lines look like `0000000000000000-000000000009ffff
 * (prio 0, ram): ram0`, with ` @OFFSET` if the piece does not begin at its block's start, and ` KVM` at the
 * end. Blocks that are not RAM backends (firmware, video memory) are omitted; RAM shown as rom (the BIOS
 * shadow) is included.
 * @module
 */
import { MAX_FLAT_VIEW_PIECES, MAX_RAM_CANDIDATES } from "../base/limits.ts";
import { Fault } from "../base/fault.ts";
import { type BackendSize, checkedLayout, type RamPiece } from "./ram_layout.ts";

const LINE = /^\s*([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (\w+)\): (\S+)(?: @([0-9a-f]{16}))?/;

/**
 * The pieces of the given backends.
 *
 * @param text the output of `info mtree -f`
 * @param backends the RAM backends, by id
 * @throws {Fault} `refused` when it has no such view, or has pieces outside their backend
 */
export function parseFlatView(text: string, backends: readonly BackendSize[]): RamPiece[] {
  const view = viewOfMemory(text);
  if (view === undefined) {
    throw new Fault(
      "refused",
      'Cannot read QEMU\'s memory map: `info mtree -f` shows no flat view of "memory"',
    );
  }
  const byId = new Map(backends.flatMap(({ id }, i) => [[id, i], [`/objects/${id}`, i]] as const));
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

/** A block of memory in the flat view. */
export interface FlatBlock {
  /** Its name: a backend's id, or `/objects/ID` in machines older than 4.0. */
  readonly name: string;
  /** Guest-physical address of its largest piece. */
  readonly gpa: number;
  /** Offset of that piece in the block, bytes. */
  readonly offset: number;
  /** The end of its last piece: the block's size, unless the machine hides its end. */
  readonly endOffset: number;
}

/**
 * The blocks that are RAM in the flat view, including video memory and shared devices, by name. At most
 * {@linkcode MAX_RAM_CANDIDATES}.
 */
export function flatBlocks(text: string): FlatBlock[] {
  const blocks = new Map<string, FlatBlock & { readonly sizeBytes: number }>();
  for (const line of viewOfMemory(text) ?? []) {
    const [, from = "", to = "", kind, name = "", at = "0"] = LINE.exec(line) ?? [];
    if (kind !== "ram") continue;
    const known = blocks.get(name);
    if (known === undefined && blocks.size >= MAX_RAM_CANDIDATES) continue;
    const [gpa, offset] = [parseInt(from, 16), parseInt(at, 16)];
    const sizeBytes = parseInt(to, 16) - gpa + 1;
    const endOffset = Math.max(known?.endOffset ?? 0, offset + sizeBytes);
    const isLarger = known === undefined || sizeBytes > known.sizeBytes;
    blocks.set(name, isLarger ? { name, gpa, offset, endOffset, sizeBytes } : { ...known, endOffset });
  }
  return [...blocks.values()].map(({ name, gpa, offset, endOffset }) => ({ name, gpa, offset, endOffset }));
}

/** The lines of the flat view whose header names the address space "memory". */
function viewOfMemory(text: string): string[] | undefined {
  for (const block of text.replaceAll("\r", "").split(/^FlatView /m)) {
    const lines = block.split("\n");
    if (lines.some((line) => /^\s+AS "memory"/.test(line))) return lines;
  }
  return undefined;
}
