/**
 * A picture in memory that QEMU shares (Listener.Unix.Map, QEMU 10 and later): mapped for reading, and drawn
 * from there, so that no pixels go through a socket. The kind and size of the memory are QEMU's claim, and
 * checked: it must be a memfd, because reading another kind of file could block, and the file may be
 * truncated while it is mapped.
 *
 * QEMU offers it for pictures that it draws itself (text screens, a virtio-gpu's first one), and never
 * withdraws it: after a plain Scanout it is outdated.
 * @module
 */
import { Mapping, PAGE_BYTES } from "../../../ffi/mapping.ts";
import { getSeals, statFd } from "../../../ffi/memfd.ts";
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { MAX_VGPU_SLOT_BYTES } from "../../base/limits.ts";
import { checkPictureSize } from "../../rfb/picture_rule.ts";
import type { Canvas } from "../canvas.ts";
import { type PixelFormat, pixmanFormat } from "./pixman_format.ts";

/** What ScanoutMap says of the memory. */
export interface MapHead {
  /** The picture's first byte in the file. */
  readonly offset: number;
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Bytes from row to row. */
  readonly stride: number;
  /** Pixman's number of the format. */
  readonly format: number;
}

/** A part of a picture. */
export interface MapArea {
  /** Pixels from the left. */
  readonly x: number;
  /** Rows from the top. */
  readonly y: number;
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

/** A picture in shared memory. */
export class MappedPicture implements Disposable {
  /** What was said of it. */
  readonly head: MapHead;
  readonly #mapping: Mapping;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #format: PixelFormat;

  private constructor(head: MapHead, mapping: Mapping, start: number, format: PixelFormat) {
    this.head = head;
    this.#mapping = mapping;
    this.#bytes = new Uint8Array(mapping.buffer, start);
    this.#format = format;
  }

  /**
   * Maps it.
   *
   * @param fd the file, borrowed
   * @throws {Fault} `protocol-error` for a file or numbers that cannot be, `not-supported` for pixels that
   *   are not known here, `too-large`
   * @throws {OsError} when there is no room for it
   */
  static open(fd: number, head: MapHead): MappedPicture {
    const { offset, width, height, stride } = head;
    checkPictureSize(width, height);
    if (width === 0 || height === 0) throw wrong(`${width}x${height} pixels`);
    const format = pixmanFormat(head.format);
    if (format === undefined) {
      throw new Fault(
        "not-supported",
        `Cannot show QEMU's picture: its pixels have pixman's format 0x${head.format.toString(16)}`,
      );
    }
    const rowBytes = width * format.bytes;
    const bytes = stride * (height - 1) + rowBytes;
    if (stride < rowBytes || bytes > MAX_VGPU_SLOT_BYTES) throw wrong(`rows of ${stride} bytes`);
    // Others have no seals, and QEMU seals what it shares.
    if (getSeals(fd) === 0) throw wrong("it is not a file in memory");
    const { sizeBytes } = statFd(fd);
    if (offset + bytes > sizeBytes) throw wrong(`${bytes} bytes from ${offset} on do not fit ${sizeBytes}`);
    const start = offset % PAGE_BYTES;
    const mapping = Mapping.map(fd, offset - start, start + bytes, { write: false });
    return new MappedPicture(head, mapping, start, format);
  }

  /**
   * Paints a part of it at the same place of a canvas of its size.
   *
   * @throws {Fault} `protocol-error` when the memory was cut
   */
  paint(canvas: Canvas, { x, y, width, height }: MapArea): void {
    assert(canvas.width === this.head.width && canvas.height === this.head.height, "the canvas fits");
    assert(x >= 0 && y >= 0 && x + width <= canvas.width && y + height <= canvas.height, "the part fits");
    const { bytes, convert } = this.#format;
    const { pixels, stride } = canvas;
    for (let row = y; row < y + height; row++) {
      const from = row * this.head.stride + x * bytes;
      const line = this.#bytes.subarray(from, from + width * bytes);
      const to = row * stride + 4 * x;
      if (convert === undefined) pixels.set(line, to);
      else convert(line, width, pixels, to);
    }
    if (this.#mapping.lost) throw wrong("its memory was truncated");
  }

  /** Lets the memory go. */
  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]();
  }
}

function wrong(what: string): Fault {
  return new Fault("protocol-error", `Cannot map a picture of QEMU's D-Bus display: ${what}`);
}
