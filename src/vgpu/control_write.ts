/**
 * What a consumer asks of the producer, as the MEMWRITE that carries it (REGION.md): under the producer's
 * root, with the control block's sequence word as seqlock. Built here, never written: the reader's mapping is
 * read-only, and the writer needs a lease.
 *
 * consumer_tick and consumer_attached have meanings of their own and are not part of it.
 * @module
 */
import { assert } from "../base/assert.ts";
import { CONTROL, CONTROL_OFFSET } from "./region_layout.ts";
import type { ControlState, ProducerState } from "./snapshots.ts";
import type { VgpuRegion } from "./vgpu_region.ts";

/** MEMWRITE flag: the source is in the inline tail. */
const MEMWRITE_INLINE = 0x1;
/** MEMWRITE flag: the tail starts with the root to write under. */
const MEMWRITE_CR3 = 0x4;
/** MEMWRITE flag: the address is a sequence word, the source goes right behind it. */
const MEMWRITE_SEQLOCK = 0x8;

/** Bytes of the fields from desired_state through full_frame_req. */
const INTENT_BYTES = CONTROL.at.fullFrameReq + 4 - CONTROL.at.desiredState;

/** What is asked for; a field that is left out keeps the value that stands. */
export interface ControlIntent {
  /** One of COMMAND. */
  readonly desiredState?: number;
  /** Frames a second; 0 = the producer's own. */
  readonly targetFps?: number;
  /** Whether the cursor is drawn into the frames. */
  readonly drawCursor?: boolean;
  /** Asks for one whole frame: raises the edge counter. */
  readonly fullFrame?: boolean;
}

/** A write that somebody with the right to it can perform. */
export interface ControlWrite {
  /** Address of the sequence word in the producer's address space. */
  readonly gva: number;
  /** Root of that address space. */
  readonly root: number;
  /** What goes behind the sequence word. */
  readonly source: Uint8Array;
  /** MEMWRITE flags. */
  readonly flags: number;
}

/**
 * Builds the write that turns the control block as it stands into what is asked for.
 *
 * @param region the region; not touched
 * @param current what {@linkcode VgpuRegion.readControl} gave
 * @param intent what is asked for; numbers must be u32 (that is the caller's to see to)
 */
export function buildControlWrite(
  region: Pick<VgpuRegion, "gva" | "root">,
  current: ControlState,
  intent: ControlIntent,
): ControlWrite {
  const source = new Uint8Array(INTENT_BYTES);
  const view = new DataView(source.buffer);
  const base = CONTROL.at.desiredState;
  const put = (offset: number, value: number) => {
    assert(Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff, "a control field is a u32");
    view.setUint32(offset - base, value, true);
  };
  put(CONTROL.at.desiredState, intent.desiredState ?? current.desiredState);
  put(CONTROL.at.targetFps, intent.targetFps ?? current.targetFps);
  put(
    CONTROL.at.drawCursor,
    intent.drawCursor === undefined ? current.drawCursor : intent.drawCursor ? 1 : 0,
  );
  put(CONTROL.at.fullFrameReq, (current.fullFrameReq + (intent.fullFrame === true ? 1 : 0)) >>> 0);
  return {
    gva: region.gva + CONTROL_OFFSET,
    root: region.root,
    source,
    flags: MEMWRITE_INLINE | MEMWRITE_CR3 | MEMWRITE_SEQLOCK,
  };
}

/** Writes a control write as a MEMWRITE's inline zone: gva, length, flags, root, source. */
export function encodeControlWrite(write: ControlWrite, inline: DataView): void {
  const put64 = (offset: number, value: number) => {
    inline.setUint32(offset, value >>> 0, true);
    inline.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
  };
  assert(write.source.length <= 24, "an inline source beside a root has at most 24 bytes");
  put64(0, write.gva);
  inline.setUint32(8, write.source.length, true);
  inline.setUint32(12, write.flags, true);
  put64(16, write.root);
  for (let i = 0; i < write.source.length; i++) inline.setUint8(24 + i, write.source[i] as number);
}

/**
 * Whether the producer has applied a write: its ctrl_ack has reached the generation that the write left
 * behind.
 */
export function isApplied(state: ProducerState, before: ControlState): boolean {
  // A write moves the sequence word by two; counted so that a wrap is not a step back.
  return ((state.ctrlAck - before.ctrlGen) | 0) >= 2;
}

/** Whether the producer has answered a request for a whole frame. */
export function isFullFrameDone(state: ProducerState, before: ControlState): boolean {
  return ((state.fullFrameAck - before.fullFrameReq) | 0) >= 1;
}
