/**
 * Files that hold the RAM of running QEMUs (`-object memory-backend-file`): a user who can read one sees the
 * guest, a user who can write one controls it. Only the mem-path in each command line is checked; a file that
 * QEMU has removed, and memory without a file, have no path that anybody could use.
 * @module
 */
import { OPEN, reopen } from "../../../../ffi/memfd.ts";
import { OsError } from "../../../../ffi/os_error.ts";
import { readInto } from "../../../../ffi/stream.ts";
import { octal, statOf, type Weakness, WRITABLE_BY_OTHERS } from "./finding.ts";
import { checkFolders, folderOf } from "./path_check.ts";

/** Size limit of a command line, bytes. */
const MAX_BYTES = 128 << 10;
const READABLE_BY_OTHERS = 0o004;

/** Checks the RAM files of all QEMUs in /proc. */
export function checkRamFiles(proc: string, trusted: ReadonlySet<number>): Weakness[] {
  return [...ramFiles(proc)].flatMap((path) => checkRamFile(path, trusted));
}

function checkRamFile(path: string, trusted: ReadonlySet<number>): Weakness[] {
  const info = statOf(path);
  if (info === undefined) return [];
  // If mem-path is a folder, QEMU makes a file in it and removes its name.
  const owners = new Set([...trusted, info.uid ?? 0]);
  const found = checkFolders(info.isDirectory ? path : folderOf(path), { check: "ram", trusted: owners });
  const mode = info.mode ?? 0;
  if (info.isDirectory || (mode & (READABLE_BY_OTHERS | WRITABLE_BY_OTHERS)) === 0) return found;
  const can = (mode & WRITABLE_BY_OTHERS) !== 0 ? "write" : "read";
  found.push({
    check: "ram",
    severity: "high",
    found: `everybody can ${can} the RAM file ${path} (mode ${octal(mode)}), and so its guest's memory`,
    remedy: `chmod go= ${path}, and a folder of mode 0700 for those to come`,
  });
  return found;
}

function ramFiles(proc: string): Set<string> {
  const paths = new Set<string>();
  for (const { name } of Deno.readDirSync(proc)) {
    if (!/^[0-9]+$/.test(name)) continue;
    const args = commandLine(`${proc}/${name}/cmdline`);
    if (!/qemu|kvm/.test(args[0] ?? "")) continue;
    for (const arg of args) {
      const path = /(?:^|,)mem-path=([^,]+)/.exec(arg)?.[1] ?? /"mem-path"\s*:\s*"([^"\\]+)"/.exec(arg)?.[1];
      if (path?.startsWith("/") === true) paths.add(path);
    }
  }
  return paths;
}

function commandLine(path: string): string[] {
  const bytes = new Uint8Array(MAX_BYTES);
  let length = 0;
  try {
    using file = reopen(path, OPEN.READ_ONLY | OPEN.NONBLOCK);
    for (let n = 1; n > 0 && length < MAX_BYTES; length += n) {
      n = Math.max(0, readInto(file.fd, bytes, length, MAX_BYTES - length));
    }
  } catch (error) {
    // It has ended, or may not be inspected.
    if (!(error instanceof OsError)) throw error;
  }
  return new TextDecoder().decode(bytes.subarray(0, length)).split("\0");
}
