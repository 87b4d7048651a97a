/**
 * A file on a command line that may be an image of memory, opened without waiting: a FIFO would wait for
 * somebody who writes, and a device would notice.
 * @module
 */
import { type FileStatus, OPEN, reopen, statFd } from "../../ffi/memfd.ts";
import { OsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { preadInto } from "../../ffi/stream.ts";
import { Fault } from "../base/fault.ts";

/** Bytes of a file by which its format is known. */
export const HEAD_BYTES = 64;

/** A file of memory. */
export interface ImageFile {
  /** As it was named. */
  readonly path: string;
  /** Open for reading; owned. */
  readonly fd: OwnedFd;
  /** Its size now. */
  readonly sizeBytes: number;
  /** Its first bytes; zeros behind a short file's end. */
  readonly head: Uint8Array<ArrayBuffer>;
}

/**
 * Opens a file, once it is known to be a plain one.
 *
 * @param path its path
 * @throws {Fault} `refused` when it cannot be opened, `bad-argument` when it is not a plain file
 */
export function openImageFile(path: string): ImageFile {
  const fd = open(path);
  try {
    const status = statFd(fd.fd);
    if (!status.isRegular) {
      throw new Fault(
        "bad-argument",
        `Cannot open ${path}: it is ${
          whatIs(status)
        }, no regular file; name a RAM image, an ELF core or another dump`,
      );
    }
    const head = new Uint8Array(HEAD_BYTES);
    preadInto(fd.fd, head, 0, HEAD_BYTES, 0);
    return { path, fd, sizeBytes: status.sizeBytes, head };
  } catch (error) {
    fd.close();
    throw error;
  }
}

function open(path: string): OwnedFd {
  try {
    using mark = reopen(path, OPEN.PATH);
    if (!statFd(mark.fd).isRegular) return mark.dup();
    return reopen(mark.fd, OPEN.READ_ONLY);
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    throw new Fault("refused", `Cannot open ${path}: ${error.errnoName}`, { cause: error });
  }
}

function whatIs({ isDirectory, isSocket, isCharacterDevice }: FileStatus): string {
  return isDirectory
    ? "a folder"
    : isSocket
    ? "a socket"
    : isCharacterDevice
    ? "a device"
    : "a FIFO or a device";
}
