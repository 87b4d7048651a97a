/**
 * Closing a peer's socket so that the peer still hears what was said last, and so that nobody waits for it.
 * Linux answers a close with unread packets by a reset, and the peer's next receive fails with ECONNRESET
 * before it gets what was sent to it: a peer that broke the protocol with more frames behind would never see
 * its ERROR. So what was not read is thrown away first. And an unread packet may hold a descriptor whose
 * close waits for as long as the peer likes (a TCP socket that lingers): then it is done elsewhere
 * (shim/vmsig_closer.c).
 * @module
 */
import { closeConnection, type OwnedFd } from "../../../ffi/owned_fd.ts";

/**
 * Takes no more from the peer, throws away what is there, and closes; on another thread when that may take
 * its time.
 *
 * @param socket whose end this is; it is closed for its owner when this returns
 */
export function closeGently(socket: OwnedFd): void {
  closeConnection(socket.release());
}
