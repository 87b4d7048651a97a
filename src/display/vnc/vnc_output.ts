/**
 * What waits to be sent to a VNC server: a few small messages, because a request is sent only when the one
 * before has been answered. A server that does not read gets none.
 * @module
 */
import { sendOne } from "../../../ffi/datagram.ts";
import { assert } from "../../base/assert.ts";
import { ERRNO } from "../../../ffi/os_error.ts";

/** Handshake and first requests have 120 bytes together. */
const CAPACITY = 1024;

/** Bytes on their way out. */
export class VncOutput {
  readonly #bytes = new Uint8Array(CAPACITY);
  #from = 0;
  #to = 0;

  /** Whether nothing waits. */
  get isEmpty(): boolean {
    return this.#from === this.#to;
  }

  /** Adds a message; {@linkcode VncOutput.flush} sends it. */
  add(message: Uint8Array<ArrayBuffer>): void {
    assert(this.#to + message.length <= CAPACITY, "what waits for a VNC server is little");
    this.#bytes.set(message, this.#to);
    this.#to += message.length;
  }

  /**
   * Sends what the socket takes.
   *
   * @param fd borrowed
   * @returns false when the server is gone
   */
  flush(fd: number): boolean {
    while (!this.isEmpty) {
      const sent = sendOne(fd, this.#bytes, this.#from, this.#to - this.#from);
      if (sent === -ERRNO.EAGAIN) return true;
      if (sent < 0) return false;
      this.#from += sent;
    }
    this.#from = this.#to = 0;
    return true;
  }
}
