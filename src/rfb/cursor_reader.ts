/**
 * A cursor's rectangle (RFC 6143, 7.8.1) as its bytes come: pixels, then a bit for each that says whether it
 * is to be seen. The pixels of a small one are kept, those of a large one are thrown away as they come.
 * @module
 */
import { assert } from "../base/assert.ts";
import { MAX_CURSOR_PIXELS, MAX_CURSOR_SIDE } from "./protocol.ts";
import { wrongUpdate } from "./picture_rule.ts";
import type { RfbCursor } from "./update_sink.ts";

const PIXEL = 4;
const OPAQUE = 0xff00_0000 | 0;

/** Reads cursors, one after the other. */
export class CursorReader {
  #width = 0;
  #height = 0;
  #came = 0;
  #isSeen = false;
  #words: Int32Array<ArrayBuffer> | undefined;

  /**
   * One begins. Its pixels are 32 bits with blue first, as they were asked for.
   *
   * @throws {Fault} `protocol-error` for an absurd size
   */
  begin(width: number, height: number): void {
    if (width > MAX_CURSOR_SIDE || height > MAX_CURSOR_SIDE) {
      throw wrongUpdate(`a cursor of ${width}x${height} pixels came`);
    }
    this.#width = width;
    this.#height = height;
    this.#came = 0;
    this.#isSeen = false;
    this.#words = width * height <= MAX_CURSOR_PIXELS ? new Int32Array(width * height) : undefined;
  }

  /** Whether all of it has come. */
  get isWhole(): boolean {
    return this.#came === this.#pixelBytes + this.#maskBytes;
  }

  /** Takes bytes. @returns how many are its own */
  take(bytes: Uint8Array, at: number, there: number): number {
    const [pixelBytes, rowBytes] = [this.#pixelBytes, Math.ceil(this.#width / 8)];
    const used = Math.min(there, pixelBytes + this.#maskBytes - this.#came);
    const words = this.#words;
    const seen = words === undefined ? undefined : new Uint8Array(words.buffer);
    let i = at;
    const pixelsEnd = at + Math.min(used, Math.max(0, pixelBytes - this.#came));
    if (pixelsEnd > at) seen?.set(bytes.subarray(at, pixelsEnd), this.#came);
    i = pixelsEnd;
    this.#came += pixelsEnd - at;
    for (; i < at + used; i++, this.#came++) {
      const mask = bytes[i] as number;
      this.#isSeen ||= mask !== 0;
      if (words === undefined) continue;
      const done = this.#came - pixelBytes;
      const row = Math.floor(done / rowBytes);
      this.#mask(words, mask, row * this.#width, 8 * (done - row * rowBytes));
    }
    return used;
  }

  /** The whole one. @param hotX its pixel that points @param hotY see `hotX` */
  end(hotX: number, hotY: number): RfbCursor {
    assert(this.isWhole, "a cursor ends when it is whole");
    const words = this.#words;
    this.#words = undefined;
    return { width: this.#width, height: this.#height, hotX, hotY, visible: this.#isSeen, words };
  }

  get #pixelBytes(): number {
    return this.#width * this.#height * PIXEL;
  }

  get #maskBytes(): number {
    return Math.ceil(this.#width / 8) * this.#height;
  }

  /** Eight pixels of a row, from `x`. */
  #mask(words: Int32Array, mask: number, row: number, x: number): void {
    for (let bit = 0; bit < 8 && x + bit < this.#width; bit++) {
      const at = row + x + bit;
      const isSeen = (mask & 0x80 >> bit) !== 0;
      words[at] = isSeen ? (words[at] as number) | OPAQUE : 0;
    }
  }
}
