/**
 * A file of this user's alone, for what is seen of guests: mode 0600 whatever the umask leaves, and always a
 * new one, so that nobody who has opened an older file of that name reads what is written now. A file of this
 * user's that is there is replaced, as -o promises; what another user has put there, a symbolic link, a pipe
 * or a folder is refused, without waiting for it.
 * @module
 */
import { fchmod, OPEN, reopen, statFd } from "../../../ffi/memfd.ts";
import { isOsError, OsError } from "../../../ffi/os_error.ts";
import { Fault } from "../../base/fault.ts";

const MODE = 0o600;
/** /dev/null, /dev/full and their like. */
const MEMORY_DEVICES = 1;

/** A new file, or one of the kernel's devices that take everything. */
export interface PrivateFile {
  /** Open for writing. */
  readonly file: Deno.FsFile;
  /** Whether it is a device: nothing to rename or cut. */
  readonly isDevice: boolean;
}

/**
 * Makes the file.
 *
 * @throws {Fault} `refused` when something stands there that is not this user's plain file
 * @throws Deno's error when it cannot be made
 */
export function createPrivate(path: string): PrivateFile {
  const there = lookAt(path);
  if (there?.isCharDevice === true && there.rdev !== null && there.rdev >> 8 === MEMORY_DEVICES) {
    return { file: Deno.openSync(path, { write: true }), isDevice: true };
  }
  if (there !== undefined) {
    const why = defectOf(there);
    if (why !== "") throw new Fault("refused", why);
    Deno.removeSync(path);
  }
  // createNew (O_EXCL) follows no link and takes nothing over, whatever has come there meanwhile.
  return { file: Deno.openSync(path, { write: true, createNew: true, mode: MODE }), isDevice: false };
}

/**
 * Looks whether a file may be put at this path: nothing is there, or a plain file of this user's.
 *
 * @throws {Fault} `refused` when something else is there
 */
function checkReplaceable(path: string): void {
  const there = lookAt(path);
  const why = there === undefined ? "" : defectOf(there);
  if (why !== "") throw new Fault("refused", why);
}

/**
 * Takes others' rights from an older file of this user's; nothing when there is none, or it is something
 * else.
 */
export function makePrivate(path: string): void {
  try {
    using file = reopen(path, OPEN.READ_ONLY | OPEN.NOFOLLOW | OPEN.NONBLOCK);
    const { isRegular, uid } = statFd(file.fd);
    if (isRegular && uid === Deno.uid()) fchmod(file.fd, MODE);
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    // None there, or not readable even to its owner, or a link or a socket: nothing of ours to close to
    // others.
    const harmless = ["ENOENT", "EACCES", "ELOOP", "ENXIO"] as const;
    if (!harmless.some((name) => isOsError(error, name))) throw error;
  }
}

function lookAt(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function defectOf(there: Deno.FileInfo): string {
  if (there.isSymlink) return "it is a symbolic link; name the file itself";
  if (there.isDirectory) return "it is a folder; name a file";
  if (!there.isFile) return "it is a pipe, a socket or a device; name a plain file";
  if (there.uid !== Deno.uid()) {
    return `a file of uid ${there.uid} has this name; remove it, or choose another`;
  }
  return "";
}

/**
 * Writes a private file that appears at its place when it is whole, in place of what a path names.
 *
 * @param fill writes it
 * @returns what `fill` gives
 * @throws what `fill` throws; as {@linkcode checkReplaceable} and {@linkcode createPrivate}
 */
export async function replaceWhole<T>(path: string, fill: (file: Deno.FsFile) => T | Promise<T>): Promise<T> {
  const temporary = `${path}.part-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  checkReplaceable(path);
  const { file } = createPrivate(temporary);
  try {
    const result = await fill(file);
    Deno.renameSync(temporary, path);
    return result;
  } catch (error) {
    Deno.removeSync(temporary);
    throw error;
  } finally {
    file.close();
  }
}
