/**
 * The encoding of CMD_MEMWRITE: the bytes inline if they fit, otherwise as the body, and the flags for that.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { hexOfGva } from "../base/ids.ts";
import { writeU64 } from "../base/layout.ts";
import { MAX_MEMWRITE_BYTES } from "../base/limits.ts";
import { MEMWRITE } from "../event/body_layout.ts";
import { MEMWRITE_FLAG } from "../event/body_number.ts";
import { BODY, type TransferEvent } from "../event/transfer_event.ts";

const TAIL_BYTES = 32;
const CR3_BYTES = 8;

/** Options of a write. */
export interface MemoryWriteOptions {
  /** Address-space root to write under; by default the kernel's. */
  readonly cr3?: number;
  /**
   * The address is that of a u32 sequence word, which is odd while the bytes after it are written (a
   * seqlock).
   */
  readonly seqlock?: boolean;
}

/**
 * Writes the command.
 *
 * @param gva guest virtual address, signed as `base/ids.ts` holds it
 * @param bytes what to write, 1 to 4096 bytes
 * @throws {Fault} `too-large`, `bad-argument`
 */
export function writeMemoryCommand(
  event: TransferEvent,
  gva: number,
  bytes: Uint8Array,
  options: MemoryWriteOptions,
): void {
  if (bytes.length === 0) {
    throw new Fault("bad-argument", "Cannot write guest memory: there are no bytes to write");
  }
  if (bytes.length > MAX_MEMWRITE_BYTES) {
    throw new Fault(
      "too-large",
      `Cannot write ${bytes.length} bytes at ${
        hexOfGva(gva)
      }: the maximum is ${MAX_MEMWRITE_BYTES}; split them`,
    );
  }
  const { cr3, seqlock = false } = options;
  const head = cr3 === undefined ? 0 : CR3_BYTES;
  const isInline = bytes.length <= TAIL_BYTES - head;
  let flags: number = isInline ? MEMWRITE_FLAG.INLINE : MEMWRITE_FLAG.PAYLOAD;
  if (cr3 !== undefined) {
    flags |= MEMWRITE_FLAG.CR3;
    writeU64(event.view, MEMWRITE.at.tail, cr3);
  }
  if (seqlock) flags |= MEMWRITE_FLAG.SEQLOCK;
  writeU64(event.view, MEMWRITE.at.gva, gva);
  event.view.setUint32(MEMWRITE.at.len, bytes.length, true);
  event.view.setUint32(MEMWRITE.at.flags, flags, true);
  if (isInline) event.inline.set(bytes, MEMWRITE.at.tail + head);
  else event.setBody(BODY.RAW, bytes.slice());
}
