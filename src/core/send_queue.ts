/**
 * Data queued for a byte stream, in order, with a limit above which the connection is given up.
 * @module
 */
import { assert } from "../base/assert.ts";

/** The queue. */
export class SendQueue {
  readonly #maxBytes: number;
  readonly #write: (bytes: Uint8Array<ArrayBuffer>, offset: number) => number;
  #pieces: Uint8Array<ArrayBuffer>[] = [];
  #bytes = 0;
  /** Number of bytes of the first piece that were written. */
  #done = 0;

  /**
   * Empty.
   *
   * @param maxBytes limit of queued bytes
   * @param write writes what fits now of a piece from an offset on, and returns how much; may clear this
   *   queue
   */
  constructor(maxBytes: number, write: (bytes: Uint8Array<ArrayBuffer>, offset: number) => number) {
    this.#maxBytes = maxBytes;
    this.#write = write;
  }

  /**
   * Adds bytes, takes ownership of them, and writes what fits.
   *
   * @returns whether the queue is within its limit
   */
  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    this.#pieces.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > this.#maxBytes) return false;
    this.flush();
    return true;
  }

  /** Writes what fits. */
  flush(): void {
    for (let first = this.#pieces[0]; first !== undefined; first = this.#pieces[0]) {
      const taken = this.#write(first, this.#done);
      assert(taken >= 0 && taken <= first.length - this.#done, "no more is written than was waiting");
      // Writing may have found the other side closed, which clears the queue; then this piece must not be
      // kept.
      if (this.#pieces[0] !== first) return;
      this.#done += taken;
      if (this.#done < first.length) return;
      this.#pieces.shift();
      this.#bytes -= first.length;
      this.#done = 0;
    }
  }

  /** Drops everything queued. */
  clear(): void {
    this.#pieces = [];
    this.#bytes = this.#done = 0;
  }
}
