/**
 * What a receive took from the socket, as frames: the one place where a packet's own marks (cut, descriptors
 * lost) and the frame's checks come together, and where descriptors get their owner.
 * @module
 */
import type { ReceiveBatch } from "../../ffi/datagram.ts";
import { OwnedFd } from "../../ffi/owned_fd.ts";
import { assert } from "../base/assert.ts";
import type { Kind } from "../event/kind.ts";
import type { EventPool, TransferEvent } from "../event/transfer_event.ts";
import { checkFrame, decodeFrame, FRAME, type FrameDefect } from "./frame.ts";

/** What is wrong with packet `i` of a batch; "" when it is a frame in order. */
export function receivedDefect(batch: ReceiveBatch, i: number): FrameDefect {
  if (batch.truncated(i)) return "body length does not match";
  if (batch.fdsTruncated(i)) return "number of fds does not match";
  return checkFrame(batch.view, batch.offset(i), batch.length(i), batch.fdCount(i));
}

/** The kind of frame `i`, which was found in order. */
export function receivedKind(batch: ReceiveBatch, i: number): Kind {
  return batch.view.getUint16(batch.offset(i) + FRAME.kind, true) as Kind;
}

/** Takes the descriptors of frame `i`: they are the caller's. */
export function receivedFds(batch: ReceiveBatch, i: number): OwnedFd[] {
  return Array.from({ length: batch.fdCount(i) }, (_, k) => new OwnedFd(batch.takeFd(i, k)));
}

/** Told of each frame of a batch. */
export interface FrameListener {
  /**
   * A frame.
   *
   * @param event borrowed for the call
   * @param fds its descriptors, the listener's from now on
   */
  onEvent(event: TransferEvent, fds: readonly OwnedFd[]): void;
}

/**
 * Hands each frame of a batch on as an event with its descriptors.
 *
 * @param count how many the receive gave
 * @param pool where the events come from and return to
 * @returns what is wrong with the first frame that is not in order, which ends it; "" when all are
 */
export function handOnReceived(
  batch: ReceiveBatch,
  count: number,
  pool: EventPool,
  listener: FrameListener,
): FrameDefect {
  assert(count <= batch.frames, "no more frames are handed on than were received");
  for (let i = 0; i < count; i++) {
    const defect = receivedDefect(batch, i);
    if (defect !== "") return defect;
    const fds = receivedFds(batch, i);
    const event = pool.acquire();
    decodeFrame(event, batch.bytes, batch.view, batch.offset(i));
    try {
      listener.onEvent(event, fds);
    } finally {
      event.release();
    }
  }
  return "";
}
