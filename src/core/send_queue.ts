/**
 * What waits to be written to a byte stream, in order, up to a bound past which the other side is given up.
 * @module
 */
import { assert } from "../base/assert.ts";

/** The queue. */
export class SendQueue {
  readonly #maxBytes: number;
  readonly #write: (bytes: Uint8Array<ArrayBuffer>, offset: number) => number;
  #pieces: Uint8Array<ArrayBuffer>[] = [];
  #bytes = 0;
  /** Bytes of the first piece that were taken. */
  #done = 0;

  /**
   * Empty.
   *
   * @param maxBytes bytes that may wait
   * @param write takes what fits now of a piece from an offset on, and says how much; may clear this queue
   */
  constructor(maxBytes: number, write: (bytes: Uint8Array<ArrayBuffer>, offset: number) => number) {
    this.#maxBytes = maxBytes;
    this.#write = write;
  }

  /**
   * Adds bytes, which are its own from now on, and writes what fits.
   *
   * @returns whether what waits is within the bound
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
      // Writing may have found the other side gone: then nothing of this piece is to be remembered.
      if (this.#pieces[0] !== first) return;
      this.#done += taken;
      if (this.#done < first.length) return;
      this.#pieces.shift();
      this.#bytes -= first.length;
      this.#done = 0;
    }
  }

  /** Forgets what waits. */
  clear(): void {
    this.#pieces = [];
    this.#bytes = this.#done = 0;
  }
}
