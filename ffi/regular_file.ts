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
/** Rights of the group and of everybody. */
const OTHERS = 0o077;

/**
 * Reads a whole file. A symbolic link is followed.
 *
 * @param path which
 * @param maxBytes the largest that is read
 * @throws {OsError} ENOENT, EACCES, …: it cannot be opened or read
 * @throws {Fault} `refused` when it is not a plain file, `too-large` when it is larger; the message begins
 *   with the path
 */
export function readRegularFile(path: string, maxBytes: number): Uint8Array<ArrayBuffer> {
  using file = reopen(path, OPEN.READ_ONLY | OPEN.NONBLOCK);
  return readWhole(file.fd, path, maxBytes);
}

/**
 * Reads a whole file that has a secret in it: it must be this user's, and nobody else's to read.
 *
 * @throws as {@linkcode readRegularFile}, and {Fault} `refused` when others may read it
 */
export function readSecretFile(path: string, maxBytes: number): Uint8Array<ArrayBuffer> {
  using file = reopen(path, OPEN.READ_ONLY | OPEN.NONBLOCK);
  const { isRegular, uid, mode } = statFd(file.fd);
  if (isRegular && (uid !== Deno.uid() || (mode & OTHERS) !== 0)) {
    throw new Fault("refused", "others may read it; chmod 600 it, and have it as your own");
  }
  return readWhole(file.fd, path, maxBytes);
}

function readWhole(fd: number, path: string, maxBytes: number): Uint8Array<ArrayBuffer> {
  const { isRegular, isDirectory, sizeBytes } = statFd(fd);
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
    const length = preadInto(fd, bytes, done, Math.min(PIECE_BYTES, sizeBytes - done), done);
    if (length === 0) break;
    done += length;
  }
  return bytes.subarray(0, done);
}
