/**
 * What may be published as a FRAME_RING: a memfd that is what its event says, and stays so. It goes to
 * everybody who watches, and is kept for those who come later; so nobody may be able to shrink it under a
 * reader's mapping (SIGBUS) or to write to it, and nothing that is alive by itself may hide behind it: a
 * socket would keep its own connection, and the leases on it, from ending.
 *
 * The seals are asked for first: what is not a memfd has none, and nothing else is asked of it (a stat of a
 * file of somebody's own file system may never come back).
 * @module
 */
import { getSeals, SEAL, statFd } from "../../../ffi/memfd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { readU64 } from "../../base/layout.ts";
import { MAX_VGPU_SLOT_BYTES, MAX_VGPU_SLOTS, MIN_VGPU_SLOTS } from "../../base/limits.ts";
import { FRAME_RING } from "../../event/body_layout.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";

/** src/vgpu/REGION.md: where the first slot lies, and what a stride is a multiple of. */
const RING_OFFSET = 0x2000;
const PAGE_BYTES = 4096;

/**
 * Whether a FRAME_RING that a control sends may be published: its one descriptor, and what the event says of
 * it.
 */
export function isSoundRing(event: TransferEvent): boolean {
  const [fd] = event.fds;
  if (fd === undefined || event.fds.length !== 1) return false;
  const bytes = readU64(event.view, FRAME_RING.at.bytes);
  const slots = event.words[FRAME_RING.at.slotCount / 4] as number;
  const stride = event.words[FRAME_RING.at.slotStride / 4] as number;
  if (slots < MIN_VGPU_SLOTS || slots > MAX_VGPU_SLOTS) return false;
  if (stride === 0 || stride % PAGE_BYTES !== 0 || stride > MAX_VGPU_SLOT_BYTES) return false;
  if (RING_OFFSET + slots * stride > bytes) return false;
  try {
    const seals = getSeals(fd);
    if ((seals & SEAL.SHRINK) === 0 || (seals & SEAL.GROW) === 0) return false;
    if ((seals & (SEAL.WRITE | SEAL.FUTURE_WRITE)) === 0) return false;
    const status = statFd(fd);
    return status.isRegular && status.sizeBytes === bytes;
  } catch (error) {
    // A descriptor that only names a path (O_PATH) cannot even be asked.
    if (error instanceof OsError) return false;
    throw error;
  }
}
