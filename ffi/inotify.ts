/**
 * inotify: what happens in a folder. Several events come with one read; when the kernel's queue ran over, one
 * of them says so (Q_OVERFLOW, watch -1), and the watcher must look at the folder anew.
 * @module
 */
import { cText, textOfC } from "./c_text.ts";
import { check, ERRNO } from "./os_error.ts";
import { OwnedFd } from "./owned_fd.ts";
import { shim } from "./shim.ts";
import { readInto } from "./stream.ts";

/** What happened, as bits of a mask. */
export const INOTIFY = {
  MODIFY: 0x2,
  ATTRIB: 0x4,
  CLOSE_WRITE: 0x8,
  MOVED_FROM: 0x40,
  MOVED_TO: 0x80,
  CREATE: 0x100,
  DELETE: 0x200,
  DELETE_SELF: 0x400,
  MOVE_SELF: 0x800,
  /** The file system was unmounted. */
  UNMOUNT: 0x2000,
  /** Events were lost: look at everything anew. */
  Q_OVERFLOW: 0x4000,
  /** The watch is gone: removed, or with what it watched. */
  IGNORED: 0x8000,
  /** For {@linkcode Inotify.watch}: only if it is a folder. */
  ONLYDIR: 0x0100_0000,
  /** In an event: it is about a folder. */
  ISDIR: 0x4000_0000,
} as const;

/** One thing that happened. */
export interface InotifyEvent {
  /** The watch, as {@linkcode Inotify.watch} returned it; -1 for an overflow. */
  readonly wd: number;
  /** What, bits of {@linkcode INOTIFY}. */
  readonly mask: number;
  /** Which file in the watched folder; "" for the folder itself. */
  readonly name: string;
}

// struct inotify_event: i32 wd, u32 mask, u32 cookie, u32 length of the name, then the name with its padding.
const HEADER_BYTES = 16;
const READ_BYTES = 64 * 1024;

/** An inotify instance. */
export class Inotify implements Disposable {
  readonly #owner: OwnedFd;
  readonly #bytes = new Uint8Array(READ_BYTES);

  private constructor(owner: OwnedFd) {
    this.#owner = owner;
  }

  /**
   * Makes one that watches nothing yet.
   *
   * @throws {OsError} EMFILE when this user has too many (fs.inotify.max_user_instances)
   */
  static create(): Inotify {
    return new Inotify(new OwnedFd(check(shim().vmsig_inotify_init(), "inotify_init1")));
  }

  /** The descriptor: readable while events wait. */
  get fd(): number {
    return this.#owner.fd;
  }

  /**
   * Watches a folder or file; again with another mask, it changes the mask.
   *
   * @param path what
   * @param mask bits of {@linkcode INOTIFY}
   * @returns the watch's number
   * @throws {OsError} ENOENT, EACCES; ENOSPC when this user has too many watches
   *   (fs.inotify.max_user_watches)
   */
  watch(path: string, mask: number): number {
    return check(shim().vmsig_inotify_add(this.#owner.fd, cText(path), mask), `inotify_add_watch ${path}`);
  }

  /** Ends a watch; nothing when it is gone already. */
  unwatch(wd: number): void {
    const result = shim().vmsig_inotify_remove(this.#owner.fd, wd);
    if (result !== -ERRNO.EINVAL) check(result, "inotify_rm_watch");
  }

  /** The events that wait, at most 64 KiB of them; none when there are none. */
  read(): InotifyEvent[] {
    const n = readInto(this.#owner.fd, this.#bytes, 0, this.#bytes.length);
    return n > 0 ? decodeInotify(this.#bytes.subarray(0, n)) : [];
  }

  /** Closes it and ends all its watches. */
  [Symbol.dispose](): void {
    this.#owner.close();
  }
}

/** The events in what a read gave. */
export function decodeInotify(bytes: Uint8Array): InotifyEvent[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const events: InotifyEvent[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    const nameBytes = view.getUint32(at + 12, true);
    const name = bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + nameBytes);
    events.push({ wd: view.getInt32(at, true), mask: view.getUint32(at + 4, true), name: textOfC(name) });
    at += HEADER_BYTES + nameBytes;
  }
  return events;
}
