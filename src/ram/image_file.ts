/**
 * Opens a file from a command line that may be a memory image, without blocking: a FIFO would wait for a
 * writer, and opening a device may have side effects.
 * @module
 */
import { type FileStatus, OPEN, reopen, statFd } from "../../ffi/memfd.ts";
import { OsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { preadInto } from "../../ffi/stream.ts";
import { Fault } from "../base/fault.ts";

/** Number of bytes that identify a format. */
export const HEAD_BYTES = 64;

/** A memory image. */
export interface ImageFile {
  /** Its name as given. */
  readonly path: string;
  /** Open for reading; owned. */
  readonly fd: OwnedFd;
  /** Its current size, bytes. */
  readonly sizeBytes: number;
  /** Its first bytes; zeros after a short file's end. */
  readonly head: Uint8Array<ArrayBuffer>;
}

/**
 * Opens a file after checking that it is a regular one.
 *
 * @param path its path
 * @throws {Fault} `refused` when it cannot be opened, `bad-argument` when it is not a regular file
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
    throw new Fault("refused", `Cannot open ${path}: ${error.reason}`, { cause: error });
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
