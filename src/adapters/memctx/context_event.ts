/**
 * The MEMCTX event of one epoch: inline zone, the memsegs as its body, and read-only descriptors that it owns
 * and closes with its last holder.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { writeU64 } from "../../base/layout.ts";
import { MEMCTX } from "../../event/body_layout.ts";
import { MEMCTX_ARCHITECTURE_SHIFT, MEMCTX_KPTI, MEMCTX_VARIANT_SHIFT } from "../../event/body_number.ts";
import { BODY, type PayloadOwner, type TransferEvent } from "../../event/transfer_event.ts";
import { ARCHITECTURE, type Architecture } from "../../guest/paging.ts";
import { type SystemName, systemOf } from "../../guest/systems.ts";
import type { SharedRam } from "./shared_ram.ts";

/** Bytes of a memseg (src/event/PROTOCOL.md). */
export const MEMSEG_BYTES = 32;

/** The guest's system of one epoch. */
export interface GuestContext {
  /** Which system; undefined when the config says that none is looked for. */
  readonly kind: SystemName | undefined;
  /** Whose page tables it has. */
  readonly architecture: Architecture;
  /** The kernel's page-table root; 0 without a system. */
  readonly root: number;
  /** Levels of its tables; 0 without a system. */
  readonly levels: number;
  /** What tells them from others of as many levels ({@linkcode Paging.variant}). */
  readonly variant: number;
  /** Whether user processes have a root apart from the kernel's. */
  readonly isolated: boolean;
}

/** A context of RAM alone. */
export const NO_GUEST: GuestContext = {
  kind: undefined,
  architecture: "x86-64",
  root: 0,
  levels: 0,
  variant: 0,
  isolated: false,
};

/**
 * Fills a blank event.
 *
 * @param event takes over fresh openings of the RAM's files
 * @param epoch the context's number
 * @param closer closes the event's descriptors with its last holder
 * @throws {OsError} when the files cannot be opened anew; the event is untouched then
 */
export function fillContext(
  event: TransferEvent,
  ram: SharedRam,
  guest: GuestContext,
  epoch: number,
  closer: PayloadOwner,
): void {
  const fds: OwnedFd[] = ram.openReadOnly();
  const { view } = event;
  const flags = ARCHITECTURE[guest.architecture] << MEMCTX_ARCHITECTURE_SHIFT |
    guest.variant << MEMCTX_VARIANT_SHIFT | (guest.isolated ? MEMCTX_KPTI : 0);
  writeU64(view, MEMCTX.at.kcr3, guest.root);
  writeU64(view, MEMCTX.at.ramBytes, ram.ramBytes);
  writeU64(view, MEMCTX.at.low, ram.lowBytes);
  view.setUint32(MEMCTX.at.epoch, epoch, true);
  view.setUint32(MEMCTX.at.nseg, ram.pieces.length, true);
  view.setUint32(MEMCTX.at.guestOs, guest.kind === undefined ? 0 : systemOf(guest.kind).number, true);
  view.setUint32(MEMCTX.at.levels, guest.levels, true);
  view.setUint32(MEMCTX.at.flags, flags, true);
  view.setUint32(MEMCTX.at.nfd, fds.length, true);
  event.setBody(BODY.RAW, encodeMemsegs(ram));
  event.own(fds.map((fd) => fd.release()), closer);
}

function encodeMemsegs(ram: SharedRam): Uint8Array {
  const bytes = new Uint8Array(ram.pieces.length * MEMSEG_BYTES);
  const view = new DataView(bytes.buffer);
  ram.pieces.forEach(({ gpa, fileOffset, sizeBytes, backend }, i) => {
    const at = i * MEMSEG_BYTES;
    writeU64(view, at, gpa);
    writeU64(view, at + 8, fileOffset);
    writeU64(view, at + 16, sizeBytes);
    view.setUint32(at + 24, backend, true);
  });
  return bytes;
}
