/**
 * QEMU's ivshmem client-server protocol, version 0, as far as both ends share it. Each message is one signed
 * 64-bit little-endian number, some with a descriptor: the version; the client's own id; -1 with the shared
 * memory; an id with one eventfd, for each vector of each client (its own come last); an id alone: that
 * client has left.
 * @module
 */
import { sendOne } from "../../ffi/datagram.ts";

/** The protocol's version. */
export const IVSHMEM_VERSION = 0;
/** Bytes of a message. */
export const IVSHMEM_MESSAGE_BYTES = 8;
/** The message with the memory. */
export const IVSHMEM_MEMORY: number = -1;
/** Largest peer id. */
export const MAX_IVSHMEM_ID = 65_535;
/** Vectors of a peer: the four doorbells of a channel, in RING.md's order. */
export const IVSHMEM_VECTORS = 4;

/**
 * A message's number. Ids are small, so the low word is enough except for the sign. undefined for a number
 * out of range.
 */
export function ivshmemNumber(view: DataView, offset: number): number | undefined {
  const low = view.getInt32(offset, true);
  const high = view.getInt32(offset + 4, true);
  return high === (low < 0 ? -1 : 0) ? low : undefined;
}

const message = new Uint8Array(IVSHMEM_MESSAGE_BYTES);
const view = new DataView(message.buffer);

/**
 * Sends one message.
 *
 * @returns false when the client's socket is full or closed: the client is then dropped
 */
export function sendIvshmem(fd: number, number: number, descriptor?: number): boolean {
  view.setInt32(0, number, true);
  view.setInt32(4, number < 0 ? -1 : 0, true);
  const fds = descriptor === undefined ? undefined : [descriptor];
  return sendOne(fd, message, 0, IVSHMEM_MESSAGE_BYTES, fds) === IVSHMEM_MESSAGE_BYTES;
}
