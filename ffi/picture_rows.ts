/**
 * Rows of a picture, read from a file that somebody else writes to (/proc/PID/mem, a memfd) over the picture
 * that is there, and what of it changed by that. One call of the shim, whatever the size.
 * @module
 */
import { assert } from "../src/base/assert.ts";
import { ERRNO, OsError } from "./os_error.ts";
import { shim } from "./shim.ts";

/** Bytes that are read at a time: they stay in the processor's cache until they are compared. */
export const ROW_SCRATCH_BYTES: number = 256 * 1024;

/** What is read where to. */
export interface RowRequest {
  /** Byte in the file. */
  readonly position: number;
  /** Bytes from row to row there. */
  readonly stride: number;
  /** Where to. */
  readonly picture: Uint8Array<ArrayBufferLike>;
  /** First byte there. */
  readonly to: number;
  /** Bytes from row to row there. */
  readonly toStride: number;
  /** Bytes of a row: at most {@linkcode ROW_SCRATCH_BYTES}. */
  readonly rowBytes: number;
  /** Rows. */
  readonly rows: number;
  /** True: they are only compared, and the picture stays as it is. */
  readonly onlyLooks?: boolean;
}

/** What is read and not compared yet: one for all readers of a thread, which are at work one at a time. */
let scratch: Uint8Array<ArrayBuffer> | undefined;

/** Reads rows; it keeps what it tells of the last ones. */
export class RowReader {
  /** Of the last {@linkcode read} that changed something: the first row that did. */
  top = 0;
  /** The row behind the last one. */
  bottom = 0;
  /** The first byte of a row that changed: a multiple of 64. */
  left = 0;
  /** The byte behind the last one. */
  right = 0;
  readonly #request = new Float64Array(11);

  /**
   * Reads rows over a picture.
   *
   * @param fd the file, borrowed
   * @returns how many rows changed; -ESRCH (-3) when the file ends before (a process that has ended, for its
   *   memory), -EIO (-5) where nothing is mapped
   * @throws {OsError} anything else
   */
  read(fd: number, what: RowRequest): number {
    const { position, stride, picture, to, toStride, rowBytes, rows } = what;
    assert(rows >= 1 && rowBytes >= 1 && rowBytes <= ROW_SCRATCH_BYTES, "there are rows, and one fits");
    assert(stride >= rowBytes && toStride >= rowBytes && position >= 0 && to >= 0, "rows do not overlap");
    assert(to + (rows - 1) * toStride + rowBytes <= picture.length, "the rows lie in their picture");
    const request = this.#request;
    request[0] = position;
    request[1] = stride;
    request[2] = to;
    request[3] = toStride;
    request[4] = rowBytes;
    request[5] = rows;
    request[10] = what.onlyLooks === true ? 1 : 0;
    const into = picture as Uint8Array<ArrayBuffer>;
    scratch ??= new Uint8Array(ROW_SCRATCH_BYTES);
    const changed = shim().vmsig_read_rows(fd, into, request, scratch, ROW_SCRATCH_BYTES);
    if (changed < 0 && changed !== -ERRNO.ESRCH && changed !== -ERRNO.EIO) {
      throw new OsError("pread", changed);
    }
    if (changed > 0) {
      this.top = request[6] as number;
      this.bottom = request[7] as number;
      this.left = request[8] as number;
      this.right = request[9] as number;
    }
    return changed;
  }
}
