/**
 * The host as /proc and the file system show it: what the probe looks at on a real machine.
 *
 * What is asked of many processes at each look is read at once, from entries that the kernel answers without
 * waiting for the process. What can make its reader wait is not: a command line is read under the process's
 * own lock, a path can lie on a file system that does not answer, the table of sockets has no end that we
 * know. Those are promises, and what does not come in time is not there.
 * @module
 */
import { folderNames } from "../../ffi/folder.ts";
import { textOfBytes } from "../base/byte_text.ts";
import { MAX_QEMU_ARGUMENTS, MAX_QEMU_LINE_BYTES } from "../base/limits.ts";
import { pathFromHere } from "../qemu/other_root.ts";
import { startOf } from "../qemu/process_identity.ts";
import type { Arguments, HostView } from "./host_probe.ts";
import { placeDefect, type PlaceInfo, type PlaceView } from "./monitor_place.ts";

/** How long a process, or the file system under a path that it names, may take to answer. */
const PATIENCE_MS = 2000;
const TABLE_PIECE_BYTES = 65_536;
/** The table of 300,000 sockets; what comes behind is not looked at. */
const MAX_TABLE_BYTES = 32 * 2 ** 20;
/** The mappings of a QEMU with a few hundred libraries; what comes behind is not looked at. */
const MAX_MAPS_BYTES = 2 ** 20;
/** A process that has more descriptors open is not asked for them. */
const MAX_FDS = 16_384;
/** So many are looked at before others have the thread: a few ms. */
const FDS_AT_ONCE = 1024;

/** Reads the host. A process that is gone, or may not be looked at, has nothing to tell. */
export class ProcHost implements HostView, PlaceView {
  readonly ownUid: number = Deno.uid() ?? -1;

  async pids(): Promise<number[]> {
    const pids: number[] = [];
    for await (const { name } of Deno.readDir("/proc")) {
      if (/^[1-9][0-9]*$/.test(name)) pids.push(Number(name));
    }
    return pids;
  }

  exe(pid: number): string {
    return quietly(() => Deno.readLinkSync(`/proc/${pid}/exe`));
  }

  async args(pid: number): Promise<Arguments> {
    // A byte more than is read: then it is known that there is more.
    const bytes = await inTime(
      `/proc/${pid}/cmdline`,
      readSome(`/proc/${pid}/cmdline`, MAX_QEMU_LINE_BYTES + 1),
    );
    return splitWords(bytes);
  }

  async maps(pid: number): Promise<string> {
    const path = `/proc/${pid}/maps`;
    return new TextDecoder().decode(await inTime(path, readSome(path, MAX_MAPS_BYTES)));
  }

  started(pid: number): string {
    return startOf(pid);
  }

  uid(pid: number): number {
    const status = quietly(() => Deno.readTextFileSync(`/proc/${pid}/status`));
    // Real, effective, saved, file system: a program with the rights of another than its user is neither's.
    const uids = /^Uid:\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)$/m.exec(status)?.slice(1) ?? [];
    return uids.length === 4 && uids.every((uid) => uid === uids[0]) ? Number(uids[0]) : -1;
  }

  cwd(pid: number): string {
    return quietly(() => Deno.readLinkSync(`/proc/${pid}/cwd`));
  }

  async *unixSockets(): AsyncGenerator<string> {
    using file = await Deno.open("/proc/net/unix");
    const bytes = new Uint8Array(TABLE_PIECE_BYTES);
    const decoder = new TextDecoder();
    for (let all = 0; all < MAX_TABLE_BYTES;) {
      const length = await file.read(bytes);
      if (length === null) return;
      all += length;
      yield decoder.decode(bytes.subarray(0, length), { stream: true });
    }
  }

  async sockets(pid: number): Promise<ReadonlySet<string> | undefined> {
    const sockets = new Set<string>();
    let seen = 0;
    let pauseAt = FDS_AT_ONCE;
    try {
      for (const names of folderNames(`/proc/${pid}/fd`)) {
        seen += names.length;
        if (seen > MAX_FDS) return undefined;
        for (const name of names) {
          const target = quietly(() => Deno.readLinkSync(`/proc/${pid}/fd/${name}`));
          const number = /^socket:\[(\d+)\]$/.exec(target)?.[1];
          if (number !== undefined) sockets.add(number);
        }
        if (seen < pauseAt) continue;
        pauseAt = seen + FDS_AT_ONCE;
        await new Promise((resolve) => setTimeout(resolve));
      }
    } catch (error) {
      if (isExpected(error)) return undefined;
      throw error;
    }
    return sockets;
  }

  placeDefect(path: string, uid: number): Promise<string> {
    const inside = /^(\/proc\/\d+\/root)(\/.*)$/.exec(path);
    if (inside === null) return inTime(path, placeDefect(this, path, uid, this.ownUid));
    // Its links are followed already; above its root nothing is its own.
    const [, root, rest] = inside as unknown as [string, string, string];
    const view: PlaceView = {
      realPath: (each) => Promise.resolve(each),
      look: (each) => this.look(`${root}${each}`),
    };
    return inTime(path, placeDefect(view, rest, uid, this.ownUid));
  }

  outside(pid: number, path: string): Promise<string> {
    return inTime(path, pathFromHere(pid, path));
  }

  realPath(path: string): Promise<string> {
    return Deno.realPath(path);
  }

  async look(path: string): Promise<PlaceInfo> {
    const { uid, gid, mode, isSocket } = await Deno.lstat(path);
    return { uid: uid ?? -1, gid: gid ?? -1, mode: mode ?? 0o777, isSocket: isSocket === true };
  }
}

/** The words of a /proc/PID/cmdline, each of which ends with a NUL, without loss. */
function splitWords(bytes: Uint8Array): Arguments {
  const text = textOfBytes(bytes.subarray(0, MAX_QEMU_LINE_BYTES));
  const words: string[] = [];
  let at = 0;
  // The program's name is one of them.
  while (at < text.length && words.length <= MAX_QEMU_ARGUMENTS) {
    const nul = text.indexOf("\0", at);
    const end = nul < 0 ? text.length : nul;
    words.push(text.slice(at, end));
    at = end + 1;
  }
  return { words, isWhole: at >= text.length && bytes.length <= MAX_QEMU_LINE_BYTES };
}

/** The first bytes of a file; none when it cannot be read. */
async function readSome(path: string, most: number): Promise<Uint8Array> {
  try {
    using file = await Deno.open(path);
    let bytes = new Uint8Array(Math.min(most, 16_384));
    let length = 0;
    while (length < most) {
      if (length === bytes.length) {
        const more = new Uint8Array(Math.min(most, 4 * length));
        more.set(bytes);
        bytes = more;
      }
      const got = await file.read(bytes.subarray(length));
      if (got === null) break;
      length += got;
    }
    return bytes.subarray(0, length);
  } catch (error) {
    if (isExpected(error)) return new Uint8Array(0);
    throw error;
  }
}

/** What is read, or a rejection when it does not come: the reader waits on, and is heard no more. */
async function inTime<T>(what: string, read: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${what} does not answer`)), PATIENCE_MS);
  try {
    return await Promise.race([read, late.promise]);
  } finally {
    clearTimeout(timer);
    read.catch(() => {});
  }
}

function quietly(read: () => string): string {
  try {
    return read();
  } catch (error) {
    if (isExpected(error)) return "";
    throw error;
  }
}

/** Gone, out of reach, or an error of the system that has a code of its own. */
function isExpected(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied ||
    error instanceof Deno.errors.NotCapable || (error instanceof Error && "code" in error);
}
