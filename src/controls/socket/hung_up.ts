/**
 * Whether the other end of a socket is gone. A receive that gives nothing cannot tell the end of the
 * connection from an empty packet; the kernel's poll can. Asked in rare cases only.
 * @module
 */
import { HUP, pollNow, RDHUP } from "../../../ffi/poller.ts";

/** Asks the kernel, without waiting. */
export function isHungUp(fd: number): boolean {
  return (pollNow(fd, RDHUP) & (RDHUP | HUP)) !== 0;
}
