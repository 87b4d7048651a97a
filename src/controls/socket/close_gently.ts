/**
 * Closing a socket so that the peer still hears what was said last. Linux answers a close with unread packets by a reset, and the peer's next receive fails with
 * ECONNRESET before it gets what was sent to it: a peer that broke the protocol with more frames behind would never see its ERROR.
 * @module
 */
import type { ReceiveBatch } from "../../../ffi/datagram.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { isOsError } from "../../../ffi/os_error.ts";
import { SHUTDOWN, shutdown } from "../../../ffi/unix_socket.ts";

/** More batches than a socket's buffer can hold packets. */
const MOST_BATCHES = 4096;

/**
 * Takes no more from the peer, throws away what is there, and closes.
 *
 * @param socket whose end this is
 * @param scratch to receive into; descriptors that come are closed
 */
export function closeGently(socket: OwnedFd, scratch: ReceiveBatch): void {
  try {
    shutdown(socket.fd, SHUTDOWN.READ);
    for (let i = 0; i < MOST_BATCHES; i++) {
      const isEmpty = scratch.receive(socket.fd) === 0;
      scratch.closeFds();
      // A reset of the peer's own comes before what it left behind: once is not yet the end.
      if (isEmpty && i > 0) break;
    }
  } catch (error) {
    // The peer closed first: there is nobody left to hear.
    if (!isOsError(error, "ENOTCONN")) throw error;
  } finally {
    socket.close();
  }
}
