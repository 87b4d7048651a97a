/**
 * Reading a file that somebody named, without being held up by what it is: only a plain file is read, up to a
 * size. A pipe, a device, a folder or a socket of that name is refused at once, for opening or reading one
 * could wait for ever.
 * @module
 */
import { Fault } from "../src/base/fault.ts";
import { OPEN, reopen, statFd } from "./memfd.ts";
import { preadInto } from "./stream.ts";

const PIECE_BYTES = 16 << 20;

/**
 * Reads a whole file. A symbolic link is followed.
 *
 * @param path which
 * @param maxBytes the largest that is read
 * @throws {OsError} ENOENT, EACCES, …: it cannot be opened or read
 * @throws {Fault} `refused` when it is not a plain file, `too-large` when it is larger; the message begins
 * with   the path
 */
export function readRegularFile(path: string, maxBytes: number): Uint8Array<ArrayBuffer> {
  using file = reopen(path, OPEN.READ_ONLY | OPEN.NONBLOCK);
  const { isRegular, isDirectory, sizeBytes } = statFd(file.fd);
  if (!isRegular) {
    const kind = isDirectory ? "a folder" : "a pipe, a socket or a device";
    throw new Fault("refused", `${path} is ${kind}, and must be a plain file`);
  }
  if (sizeBytes > maxBytes) {
    throw new Fault(
      "too-large",
      `${path} has ${sizeBytes} bytes, and may have ${maxBytes} at most`,
    );
  }
  // What is written to it meanwhile does not count; files of /proc say 0 and are not configs.
  const bytes = new Uint8Array(sizeBytes);
  let done = 0;
  while (done < sizeBytes) {
    const length = preadInto(file.fd, bytes, done, Math.min(PIECE_BYTES, sizeBytes - done), done);
    if (length === 0) break;
    done += length;
  }
  return bytes.subarray(0, done);
}
