/**
 * Whether the other end of a socket is gone. A receive that gives nothing cannot tell the end of the connection from an empty packet; the kernel's poll can. Asked in
 * rare cases only.
 * @module
 */
import { HUP, Poller, RDHUP } from "../../../ffi/poller.ts";

/** Asks the kernel, without waiting. */
export function isHungUp(fd: number): boolean {
  using poller = new Poller(1);
  poller.add(fd, RDHUP, 0);
  return poller.wait(0) > 0 && (poller.events(0) & (RDHUP | HUP)) !== 0;
}
