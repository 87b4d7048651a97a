/**
 * The body of Listener.CursorDefine as it arrives: four numbers, the number of bytes, and the pixels of a
 * small cursor, which are kept; those of a large one are discarded.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import {
  isCursorTold,
  MAX_CURSOR_SHAPE_PIXELS,
  MAX_CURSOR_SHAPE_SIDE,
} from "../../event/kinds/pointer_kinds.ts";
import type { CursorPicture, CursorShape } from "../canvas.ts";

/** Maximum width and height of a cursor. */
const MAX_CURSOR_SIDE = 1024;
/** Width, height, hot spot. */
const NUMBERS_BYTES = 16;
/** The same with the length of the pixels. */
const HEAD_BYTES = 20;

/** Receives one body. */
export class CursorSink {
  readonly #bodyBytes: number;
  readonly #isLittle: boolean;
  readonly #head = new Uint8Array(HEAD_BYTES);
  #came = 0;
  #shape: CursorShape | undefined;
  #words: Int32Array<ArrayBuffer> | undefined;

  /**
   * For a body of this many bytes.
   *
   * @throws {Fault} `protocol-error` for one without its numbers
   */
  constructor(bodyBytes: number, isLittle: boolean) {
    this.#bodyBytes = bodyBytes;
    this.#isLittle = isLittle;
    if (bodyBytes < NUMBERS_BYTES) throw wrong("a cursor is truncated");
  }

  /** The shape, once complete; undefined: it is larger than can be reported. */
  get shape(): CursorShape | undefined {
    if (this.#came < HEAD_BYTES) this.#begin();
    return this.#shape;
  }

  /** The picture; undefined if it is too large, or incomplete. */
  get picture(): CursorPicture | undefined {
    const { shape } = this;
    return shape === undefined || this.#words === undefined ? undefined : { ...shape, words: this.#words };
  }

  /** Processes bytes. @throws {Fault} `protocol-error` for an absurd size */
  take(bytes: Uint8Array, from: number, to: number): void {
    let at = from;
    if (this.#came < HEAD_BYTES) {
      const used = Math.min(HEAD_BYTES - this.#came, to - at);
      this.#head.set(bytes.subarray(at, at + used), this.#came);
      this.#came += used;
      at += used;
      if (this.#came < HEAD_BYTES) return;
      this.#begin();
    }
    if (this.#words !== undefined && to > at) {
      new Uint8Array(this.#words.buffer).set(bytes.subarray(at, to), this.#came - HEAD_BYTES);
    }
    this.#came += to - at;
  }

  #begin(): void {
    const view = new DataView(this.#head.buffer);
    const [width = 0, height = 0, hotX = 0, hotY = 0, bytes = 0] = [0, 4, 8, 12, 16].map((at) =>
      view.getInt32(at, this.#isLittle)
    );
    if (width < 0 || height < 0 || width > MAX_CURSOR_SIDE || height > MAX_CURSOR_SIDE) {
      throw wrong("a cursor's size is implausible");
    }
    if (Math.max(width, height) > MAX_CURSOR_SHAPE_SIDE) return;
    this.#shape = { width, height, hotX, hotY };
    // QEMU's pixels are words in its own byte order, which is ours: blue, green, red, alpha.
    const isWhole = bytes === 4 * width * height && bytes === this.#bodyBytes - HEAD_BYTES;
    if (isWhole && isCursorTold(this.#shape) && width * height <= MAX_CURSOR_SHAPE_PIXELS) {
      this.#words = new Int32Array(width * height);
    }
  }
}

function wrong(what: string): Fault {
  return new Fault("protocol-error", `Cannot follow QEMU's D-Bus display: ${what}`);
}
