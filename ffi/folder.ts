/**
 * The names in a folder, a piece at a time: the list of a large one takes long, and whoever must not wait
 * does something else between two pieces. (Deno's own functions take the whole list at once.)
 * @module
 */
import { OPEN, reopen } from "./memfd.ts";
import { check } from "./os_error.ts";
import { shim } from "./shim.ts";

/** About eighty entries of /proc/PID/fd, which the kernel makes while they are listed: 0.3 ms. */
const PIECE_BYTES = 2048;
/** A linux_dirent64: inode and offset, 8 bytes each, its length, its type, its name, a zero. */
const LENGTH_AT = 16;
const NAME_AT = 19;

/**
 * Lists a folder.
 *
 * @param path which the caller trusts not to be another file system's that makes it wait
 * @returns the names of one piece after another, without "." and ".."
 * @throws {OsError} ENOENT, EACCES, ENOTDIR; while it is listed, when the folder goes
 */
export function* folderNames(path: string): Generator<string[], void> {
  using folder = reopen(path, OPEN.READ_ONLY | OPEN.DIRECTORY);
  const bytes = new Uint8Array(PIECE_BYTES);
  const view = new DataView(bytes.buffer);
  const decoder = new TextDecoder();
  for (;;) {
    const length = check(shim().vmsig_getdents(folder.fd, bytes, bytes.length), `list ${path}`);
    if (length === 0) return;
    const names: string[] = [];
    for (let at = 0; at < length; at += view.getUint16(at + LENGTH_AT, true)) {
      const name = decoder.decode(bytes.subarray(at + NAME_AT, bytes.indexOf(0, at + NAME_AT)));
      if (name !== "." && name !== "..") names.push(name);
    }
    yield names;
  }
}
