/**
 * The trigger directory: a file that appears in it (by rename, or closed after writing) is an endpoint, one
 * that disappears takes it away, one that changes makes it anew. A hard link to a file that is whole counts,
 * too. Watched by inotify, without polling; a lost event (queue overflow) or a directory that was removed and
 * made again leads to a look at everything.
 *
 * Who may write here may steer VMs. So only plain files of the daemon's own user or root count, that nobody
 * else may write, in a directory to which the same applies; anything else is refused with a line in the log.
 * Names that begin with a dot or end in `~`, `.tmp` or `.swp` are somebody's half-done work and are passed
 * over.
 *
 * Changes are gathered for a moment, so that a file written in several steps is read once. Then they are
 * looked at one per turn of the loop: attaching tells every control, and hundreds of files at once must not
 * keep the loop from anybody.
 * @module
 */
import { INOTIFY, Inotify } from "../../ffi/inotify.ts";
import { OPEN, reopen, statFd } from "../../ffi/memfd.ts";
import { isOsError, OsError } from "../../ffi/os_error.ts";
import { IN } from "../../ffi/poller.ts";
import { preadInto } from "../../ffi/stream.ts";
import { MS } from "../base/clock.ts";
import { messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import type { FdHandler, LoopPort, TimerHandler } from "../core/adapter_port.ts";

/** How long changes are gathered, ms. */
const SETTLE_MS = 20;
/** How long it rests after a look that failed. */
const RETRY_MS = 1000;
/** A trigger file is one small table. */
const MAX_FILE_BYTES = 65_536;
const DIRECTORY_EVENTS = INOTIFY.CREATE | INOTIFY.CLOSE_WRITE | INOTIFY.MOVED_TO | INOTIFY.MOVED_FROM |
  INOTIFY.DELETE | INOTIFY.ATTRIB | INOTIFY.DELETE_SELF | INOTIFY.MOVE_SELF | INOTIFY.ONLYDIR;
const PARENT_EVENTS = INOTIFY.CREATE | INOTIFY.MOVED_TO | INOTIFY.ONLYDIR;
const WRITABLE_BY_OTHERS = 0o022;

/** Told what is in the directory. */
export interface TriggerListener {
  /** A file is there, new or changed, with this text. A thrown error is logged as the file's. */
  onFile(name: string, text: string): void;
  /** A file is gone, or counts no more. */
  onGone(name: string): void;
}

/** What a trigger directory is made of. */
export interface TriggerDirectoryOptions {
  /** The directory. */
  readonly path: string;
  /** The loop that watches. */
  readonly loop: LoopPort;
  /** Where refusals are told. */
  readonly log: Log;
  /** Who is told. */
  readonly listener: TriggerListener;
  /** The daemon's uid: files of this user and of root count. */
  readonly ownUid: number;
}

/** Watches one directory. */
export class TriggerDirectory implements FdHandler, TimerHandler {
  readonly #options: TriggerDirectoryOptions;
  readonly #log: Log;
  readonly #inotify: Inotify = Inotify.create();
  /** Names to look at; true for one that has only been made so far. */
  readonly #dirty = new Map<string, boolean>();
  /** Files that the listener knows. */
  readonly #known = new Set<string>();
  /** What was said of a file last, so that it is said once. */
  readonly #complaints = new Map<string, string>();
  #directoryWatch = -1;
  #parentWatch = -1;
  #rescan = true;
  /** Files are being looked at, one per turn. */
  #working = false;

  /** Starts watching, and looks at what is there in the loop's next turn. */
  constructor(options: TriggerDirectoryOptions) {
    this.#options = options;
    this.#log = options.log.for("trigger");
    options.loop.watch(this.#inotify.fd, IN, this);
    options.loop.arm(this, options.loop.clock.nowNs());
  }

  onReady(): void {
    for (const { wd, mask, name } of this.#inotify.read()) {
      if ((mask & INOTIFY.Q_OVERFLOW) !== 0) this.#rescan = true;
      else if (wd === this.#parentWatch) {
        if (name === this.#baseName) this.#rescan = true;
      } else if (wd === this.#directoryWatch) {
        if ((mask & (INOTIFY.DELETE_SELF | INOTIFY.MOVE_SELF | INOTIFY.IGNORED | INOTIFY.UNMOUNT)) !== 0) {
          if ((mask & INOTIFY.IGNORED) === 0) this.#inotify.unwatch(wd);
          this.#directoryWatch = -1;
          this.#rescan = true;
        } else if (name === "") this.#rescan = true;
        else if ((mask & INOTIFY.CREATE) === 0) this.#dirty.set(name, false);
        else if (!this.#dirty.has(name)) this.#dirty.set(name, true);
      }
    }
    // While there is one file after another to look at, what comes joins the queue.
    if (!this.#working && (this.#rescan || this.#dirty.size > 0)) {
      this.#options.loop.arm(this, this.#options.loop.clock.nowNs() + SETTLE_MS * MS);
    }
  }

  onTimer(): void {
    if (this.#rescan) {
      this.#rescan = false;
      this.#lookAtAll();
    }
    const [next] = this.#dirty;
    if (next !== undefined) {
      const [name, isJustMade] = next;
      this.#dirty.delete(name);
      if (!isJustMade || this.#isWhole(name)) this.#look(name);
    }
    this.#working = this.#dirty.size > 0;
    if (this.#working) this.#options.loop.arm(this, this.#options.loop.clock.nowNs());
  }

  /** Called by the loop: a look threw; everything is looked at anew, a while later. */
  onFault(): void {
    this.#rescan = true;
    this.#options.loop.arm(this, this.#options.loop.clock.nowNs() + RETRY_MS * MS);
  }

  /** Looks at everything anew: the folder above was removed and made again, which nobody watches any more. */
  lookAgain(): void {
    this.#rescan = true;
    this.#options.loop.arm(this, this.#options.loop.clock.nowNs());
  }

  /** Looks at one file anew, now. */
  lookAt(name: string): void {
    this.#look(name);
  }

  /** Stops watching. Files that are known stay known: their endpoints go with the daemon. */
  close(): void {
    this.#options.loop.disarm(this);
    this.#options.loop.unwatch(this.#inotify.fd);
  }

  /**
   * Gives the descriptor back, after {@linkcode close} and the last turn: the kernel takes up to 15 ms to put
   * an inotify instance away.
   */
  [Symbol.dispose](): void {
    this.#inotify[Symbol.dispose]();
  }

  get #baseName(): string {
    return this.#options.path.slice(this.#options.path.lastIndexOf("/") + 1);
  }

  /**
   * Whether nobody has to close what was just made: a plain file is about to be written, unless it is a link
   * to one that has been.
   */
  #isWhole(name: string): boolean {
    try {
      const { isFile, nlink } = Deno.lstatSync(`${this.#options.path}/${name}`);
      return !isFile || (nlink ?? 1) > 1;
    } catch (error) {
      // Gone again, or out of reach, which the look at the directory tells.
      if (error instanceof Error) return false;
      throw error;
    }
  }

  #lookAtAll(): void {
    const present = this.#watchDirectory() ? this.#list() : [];
    const there = new Set(present);
    for (const name of [...this.#known]) if (!there.has(name)) this.#forget(name);
    for (const name of this.#complaints.keys()) {
      if (!there.has(name) && name !== "") this.#complaints.delete(name);
    }
    for (const name of present) this.#dirty.set(name, false);
  }

  /** Watches the directory and the one above it. False: there is none, or it cannot be trusted. */
  #watchDirectory(): boolean {
    const { path } = this.#options;
    const slash = path.lastIndexOf("/");
    const parent = slash > 0 ? path.slice(0, slash) : slash === 0 ? "/" : ".";
    try {
      this.#parentWatch = this.#inotify.watch(parent, PARENT_EVENTS);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      this.#complain("", `cannot watch ${parent}: ${error.message}`);
    }
    try {
      // Watched first, then looked at: what happens in between is seen twice rather than not at all.
      this.#directoryWatch = this.#inotify.watch(path, DIRECTORY_EVENTS);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      this.#directoryWatch = -1;
      if (error.errnoName !== "ENOENT") this.#complain("", `cannot watch ${path}: ${error.message}`);
      return false;
    }
    return this.#isTrusted();
  }

  #isTrusted(): boolean {
    const { path, ownUid } = this.#options;
    try {
      using folder = reopen(path, OPEN.READ_ONLY | OPEN.DIRECTORY);
      const { uid, mode } = statFd(folder.fd);
      if ((uid !== 0 && uid !== ownUid) || (mode & WRITABLE_BY_OTHERS) !== 0) {
        this.#complain(
          "",
          `${path} is not used: others than root and uid ${ownUid} may write in it; chown and chmod 755 it`,
        );
        return false;
      }
      this.#complaints.delete("");
      return true;
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      return false;
    }
  }

  #list(): string[] {
    try {
      return [...Deno.readDirSync(this.#options.path)].map((entry) => entry.name);
    } catch (error) {
      this.#complain("", `cannot read ${this.#options.path}: ${messageOf(error)}`);
      return [];
    }
  }

  #look(name: string): void {
    if (name.startsWith(".") || /(~|\.tmp|\.swp)$/.test(name)) return;
    const read = this.#directoryWatch < 0 ? { ok: false, gone: true, why: "" } as const : this.#read(name);
    if (!read.ok) {
      this.#forget(name);
      if (read.gone) this.#complaints.delete(name);
      else this.#complain(name, `${this.#options.path}/${name} is not used: ${read.why}`);
      return;
    }
    try {
      this.#options.listener.onFile(name, read.text);
      this.#known.add(name);
      this.#complaints.delete(name);
    } catch (error) {
      // A file that was good and is broken now: what it says no longer holds.
      this.#forget(name);
      this.#complain(name, messageOf(error));
    }
  }

  #read(
    name: string,
  ): { readonly ok: true; readonly text: string } | {
    readonly ok: false;
    readonly gone: boolean;
    readonly why: string;
  } {
    const { path, ownUid } = this.#options;
    const bad = (why: string) => ({ ok: false, gone: false, why }) as const;
    try {
      using file = reopen(`${path}/${name}`, OPEN.READ_ONLY | OPEN.NOFOLLOW | OPEN.NONBLOCK);
      const stat = statFd(file.fd);
      if (stat.isDirectory) return bad("it is a directory");
      if (!stat.isRegular) return bad("it is not a plain file");
      if (stat.uid !== 0 && stat.uid !== ownUid) {
        return bad(`it belongs to uid ${stat.uid}; chown it to root`);
      }
      if ((stat.mode & WRITABLE_BY_OTHERS) !== 0) return bad("others may write it; chmod 644 it");
      if (stat.sizeBytes > MAX_FILE_BYTES) return bad(`it is larger than ${MAX_FILE_BYTES} bytes`);
      const bytes = new Uint8Array(stat.sizeBytes);
      const length = preadInto(file.fd, bytes, 0, bytes.length, 0);
      if (length < 0) return bad("it cannot be read");
      return { ok: true, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length)) };
    } catch (error) {
      if (isOsError(error, "ENOENT")) return { ok: false, gone: true, why: "" };
      if (isOsError(error, "ELOOP")) return bad("it is a symbolic link; put the file itself here");
      if (error instanceof OsError) return bad(error.message);
      if (error instanceof TypeError) return bad("it is not UTF-8 text");
      throw error;
    }
  }

  #forget(name: string): void {
    if (!this.#known.delete(name)) return;
    this.#options.listener.onGone(name);
  }

  #complain(name: string, what: string): void {
    if (this.#complaints.get(name) === what) return;
    this.#complaints.set(name, what);
    this.#log.error(what);
  }
}
