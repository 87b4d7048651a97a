/**
 * The bodies of Listener.Scanout and Listener.Update, as they arrive: a few numbers, then pixels row by row,
 * which are written to the canvas. Only a row that is split between two pieces is buffered, if its format is
 * not the canvas's.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import type { BodySink } from "./dbus_peer.ts";
import { paintRows } from "../../rfb/raw_rows.ts";
import type { Canvas } from "../canvas.ts";
import { type PixelFormat, pixmanFormat } from "./pixman_format.ts";

/** What a body says before its pixels. */
export interface PictureHead {
  /** Whether it is all of the picture, whose size it tells, or a part. */
  readonly kind: PictureKind;
  /** Pixels from the left; 0 of a scanout. */
  readonly x: number;
  /** Rows from the top; 0 of a scanout. */
  readonly y: number;
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Bytes from row to row. */
  readonly stride: number;
  /** Pixman's number of the format. */
  readonly format: number;
}

/** Who has its pixels painted. */
export interface PictureOwner {
  /** What is painted on; at {@linkcode begins} it gets its size. */
  readonly canvas: Canvas;
  /** The numbers are there: whether the pixels are to be painted. The canvas has room for them then. */
  begins(head: PictureHead): boolean;
  /** All pixels are painted, if they were to be. */
  ends(head: PictureHead, isPainted: boolean): void;
}

/** Which of the two bodies it is: "uuuuay" or "iiiiuuay". */
export type PictureKind = "scanout" | "update";

const PREFIX_BYTES = { scanout: 20, update: 28 } as const;

/** Paints one body. */
export class PictureSink implements BodySink {
  readonly #owner: PictureOwner;
  readonly #kind: PictureKind;
  readonly #isLittle: boolean;
  readonly #bodyBytes: number;
  readonly #prefix: Uint8Array<ArrayBuffer>;
  #came = 0;
  #head: PictureHead | undefined;
  #format: PixelFormat = { bytes: 4 };
  #isPainted = false;
  #row = new Uint8Array(0);

  /** Takes a body of so many bytes. */
  constructor(owner: PictureOwner, kind: PictureKind, isLittle: boolean, bodyBytes: number) {
    this.#owner = owner;
    this.#kind = kind;
    this.#isLittle = isLittle;
    this.#bodyBytes = bodyBytes;
    this.#prefix = new Uint8Array(PREFIX_BYTES[kind]);
    if (bodyBytes < this.#prefix.length) throw wrong("it is too short");
  }

  take(bytes: Uint8Array<ArrayBuffer>, from: number, to: number): void {
    const prefixLength = this.#prefix.length;
    let at = from;
    if (this.#came < prefixLength) {
      const used = Math.min(prefixLength - this.#came, to - at);
      this.#prefix.set(bytes.subarray(at, at + used), this.#came);
      this.#came += used;
      at += used;
      if (this.#came < prefixLength) return;
      this.#begin();
    }
    if (this.#isPainted) this.#paint(bytes, at, to);
    this.#came += to - at;
  }

  end(): void {
    assert(this.#came === this.#bodyBytes && this.#head !== undefined, "a body ends when it is whole");
    this.#owner.ends(this.#head, this.#isPainted);
  }

  #begin(): void {
    const view = new DataView(this.#prefix.buffer);
    const word = (i: number) => view.getUint32(4 * i, this.#isLittle);
    const first = this.#kind === "scanout" ? 0 : 2;
    const head: PictureHead = {
      kind: this.#kind,
      x: first === 0 ? 0 : word(0) | 0,
      y: first === 0 ? 0 : word(1) | 0,
      width: word(first),
      height: word(first + 1),
      stride: word(first + 2),
      format: word(first + 3),
    };
    const length = word(first + 4);
    if (length !== this.#bodyBytes - this.#prefix.length) {
      throw wrong("its pixels do not fill the rest of it");
    }
    if (head.x < 0 || head.y < 0) throw wrong(`it lies at ${head.x},${head.y}`);
    const format = pixmanFormat(head.format);
    if (format === undefined) {
      throw new Fault(
        "not-supported",
        `Cannot show QEMU's picture: its pixels have pixman's format 0x${
          head.format.toString(16)
        }, which vmsig does not know`,
      );
    }
    const rowBytes = head.width * format.bytes;
    if (head.height > 0 && (head.stride < rowBytes || head.stride * (head.height - 1) + rowBytes > length)) {
      throw wrong(
        `${head.width}x${head.height} pixels in rows of ${head.stride} bytes do not fit ${length} bytes`,
      );
    }
    this.#head = head;
    this.#format = format;
    this.#isPainted = this.#owner.begins(head) && rowBytes > 0 && head.height > 0;
  }

  /** Bytes of rows, each of which may be cut and has padding behind it. */
  #paint(bytes: Uint8Array<ArrayBuffer>, from: number, to: number): void {
    assert(this.#head !== undefined, "pixels come behind their numbers");
    const { x, y, width, height, stride } = this.#head;
    const { canvas } = this.#owner;
    const { pixels, stride: canvasStride } = canvas;
    const rowBytes = width * this.#format.bytes;
    let done = this.#came - this.#prefix.length;
    if (this.#format.convert === undefined && stride === rowBytes) {
      // QEMU's own way: nothing between the rows.
      const used = Math.min(to - from, rowBytes * height - done);
      if (used <= 0) return;
      const first = y * canvasStride + x * 4;
      return paintRows(pixels, canvasStride, { first, rowBytes, done }, bytes.subarray(from, from + used));
    }
    for (let at = from; at < to;) {
      const row = Math.floor(done / stride);
      if (row >= height) return;
      const column = done - row * stride;
      const length = Math.min(stride - column, to - at);
      const used = Math.min(length, rowBytes - column);
      if (used > 0) {
        const target = (y + row) * canvasStride + x * 4;
        this.#putPiece(bytes.subarray(at, at + used), column, rowBytes, pixels, target);
      }
      at += length;
      done += length;
    }
  }

  #putPiece(
    piece: Uint8Array<ArrayBuffer>,
    column: number,
    rowBytes: number,
    pixels: Uint8Array<ArrayBufferLike>,
    target: number,
  ): void {
    const { convert } = this.#format;
    if (convert === undefined) {
      pixels.set(piece, target + column);
      return;
    }
    const isWhole = piece.length === rowBytes;
    if (!isWhole) {
      if (this.#row.length < rowBytes) this.#row = new Uint8Array(rowBytes);
      this.#row.set(piece, column);
      if (column + piece.length < rowBytes) return;
    }
    convert(isWhole ? piece : this.#row, rowBytes / this.#format.bytes, pixels, target);
  }
}

function wrong(what: string): Fault {
  return new Fault("protocol-error", `Cannot follow QEMU's D-Bus display: ${what}`);
}
