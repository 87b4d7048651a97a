/**
 * Draws a screendump: reads the PPM that QEMU wrote, a piece at a time, over the canvas's picture, and finds
 * the changes. So it needs no memory besides the canvas, whatever the picture's size.
 *
 * The file belongs to another process, which may write while it is read: everything is checked, and nothing
 * outside of the canvas is written.
 * @module
 */
import { OsError } from "../../../ffi/os_error.ts";
import { preadInto } from "../../../ffi/stream.ts";
import type { Canvas } from "../canvas.ts";
import { readPpmHead } from "../../vgpu/ppm.ts";

const PIECE_BYTES = 3 * 64 * 1024;
const HEAD_BYTES = 1024;

/** The result of a screendump. */
export type PpmOutcome = { readonly ok: true } | { readonly ok: false; readonly why: string };

/** The piece that is read: one for all painters of a thread, which are at work one at a time. */
let shared: Uint8Array<ArrayBuffer> | undefined;

/** Reads screendumps. */
export class PpmPainter {
  /**
   * Paints a screendump: resizes the canvas when the picture has another size, and damages what differs. The
   * commit is the caller's.
   *
   * @param fd the file, borrowed
   * @param length its bytes
   */
  paint(fd: number, length: number, canvas: Canvas): PpmOutcome {
    const piece = shared ??= new Uint8Array(PIECE_BYTES);
    const got = readAt(fd, piece, Math.min(length, HEAD_BYTES), 0);
    if (got < 0) return { ok: false, why: "its file cannot be read" };
    const head = readPpmHead(piece, got, length);
    if (!head.ok) return head;
    const { width, height, dataOffset } = head;
    const isNew = width !== canvas.width || height !== canvas.height;
    if (isNew) canvas.resize(width, height);
    const rowBytes = 3 * width;
    const rows = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
    const change = new Change();
    for (let y = 0; y < height; y += rows) {
      const count = Math.min(rows, height - y);
      if (readAt(fd, piece, count * rowBytes, dataOffset + y * rowBytes) < count * rowBytes) {
        // What was painted already is part of the next update.
        canvas.damage(0, 0, width, height);
        return { ok: false, why: "it became shorter while it was read" };
      }
      paintRows(piece, canvas, y, count, change);
    }
    if (isNew) canvas.damage(0, 0, width, height);
    else if (change.right > 0) {
      canvas.damage(change.left, change.top, change.right - change.left, change.bottom - change.top);
    }
    return { ok: true };
  }
}

/** The rectangle around what changed; nothing while `right` is 0. */
class Change {
  left = Infinity;
  top = Infinity;
  right = 0;
  bottom = 0;
}

/** Spreads rows of red, green, blue to the canvas's words, and notes what of them differs. */
function paintRows(bytes: Uint8Array, canvas: Canvas, top: number, count: number, change: Change): void {
  const { words, width, stride } = canvas;
  for (let row = 0, from = 0; row < count; row++) {
    const start = (top + row) * (stride / 4);
    const end = start + width;
    let first = -1;
    let last = -1;
    for (let to = start; to < end; to++, from += 3) {
      const pixel = (bytes[from] as number) << 16 | (bytes[from + 1] as number) << 8 |
        (bytes[from + 2] as number);
      if (words[to] === pixel) continue;
      words[to] = pixel;
      if (first < 0) first = to;
      last = to;
    }
    if (first < 0) continue;
    change.left = Math.min(change.left, first - start);
    change.right = Math.max(change.right, last - start + 1);
    change.top = Math.min(change.top, top + row);
    change.bottom = top + row + 1;
  }
}

/** Reads as many bytes as there are up to `length`; -1 when the file cannot be read. */
function readAt(fd: number, into: Uint8Array<ArrayBuffer>, length: number, position: number): number {
  try {
    let done = 0;
    while (done < length) {
      const got = preadInto(fd, into, done, length - done, position + done);
      if (got <= 0) break;
      done += got;
    }
    return done;
  } catch (error) {
    if (error instanceof OsError) return -1;
    throw error;
  }
}
