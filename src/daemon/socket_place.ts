/**
 * The control socket's place in the file system: listens there, sets who may knock, and notices when the file
 * or its folder is taken away under the daemon. Then whoever is connected goes on undisturbed (a connection
 * does not need the path), one line says so, and the socket is made anew as soon as that is possible.
 * @module
 */
import { INOTIFY, Inotify } from "../../ffi/inotify.ts";
import { OsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { IN } from "../../ffi/poller.ts";
import { listenUnix, SOCKET, unlinkSocket } from "../../ffi/unix_socket.ts";
import { MS, SECOND } from "../base/clock.ts";
import { Fault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import type { FdHandler, LoopPort, TimerHandler } from "../core/adapter_port.ts";

const BACKLOG = 1024;
const TAKEN_AWAY = INOTIFY.DELETE | INOTIFY.MOVED_FROM | INOTIFY.DELETE_SELF | INOTIFY.MOVE_SELF |
  INOTIFY.UNMOUNT | INOTIFY.ONLYDIR;
/** A folder that is removed goes file by file: the first look waits for the last of them. */
const SETTLE_NS = 50 * MS;
const RETRY_NS = SECOND;

/** Told when the socket had to be made anew. */
export interface SocketPlaceListener {
  /** Another socket listens now; the one before is closed when this returns. */
  onListening(socket: OwnedFd): void;
}

/** A listening socket and its path. */
export class SocketPlace implements FdHandler, TimerHandler {
  readonly #path: string;
  readonly #log: Log;
  #admitsOthers: boolean;
  #socket: OwnedFd;
  #loop: LoopPort | undefined;
  #listener: SocketPlaceListener | undefined;
  #inotify: Inotify | undefined;
  #told = "";
  /** Which file is ours; null while there is none. */
  #inode: number | null = null;

  /**
   * Listens. Nothing is watched yet.
   *
   * @param admitsOthers whether any other user may knock; who may do what is decided by uid at HELLO
   * @throws {Fault} when somebody else listens there, or it cannot be made
   */
  constructor(path: string, admitsOthers: boolean, log: Log) {
    this.#path = path;
    this.#log = log;
    this.#admitsOthers = admitsOthers;
    this.#socket = this.#listen();
  }

  /** The listening socket, borrowed. */
  get socket(): OwnedFd {
    return this.#socket;
  }

  /** Watches the place from now on. */
  watch(loop: LoopPort, listener: SocketPlaceListener): void {
    this.#loop = loop;
    this.#listener = listener;
    this.#inotify = Inotify.create();
    loop.watch(this.#inotify.fd, IN, this);
    this.#watchFolder();
  }

  /** Opens the socket file to other users, or closes it to them: the rules have changed. */
  admitOthers(admits: boolean): void {
    if (admits === this.#admitsOthers) return;
    this.#admitsOthers = admits;
    try {
      Deno.chmodSync(this.#path, this.#mode);
    } catch (error) {
      // One that is gone is made anew with the right mode.
      if (!(error instanceof Deno.errors.NotFound)) {
        this.#log.error(`cannot change who may open ${this.#path}: ${messageOf(error)}`);
      }
    }
  }

  /** Called by the loop: something went from the folder, or the folder itself did. */
  onReady(): void {
    const name = this.#path.slice(this.#path.lastIndexOf("/") + 1);
    const isOurs = this.#inotify?.read().some((event) => event.name === "" || event.name === name) ?? false;
    if (isOurs) this.#loop?.arm(this, this.#loop.clock.nowNs() + SETTLE_NS);
  }

  /** Called by the loop: looks whether the socket is still there, and makes it anew when it is not. */
  onTimer(nowNs: number): void {
    if (this.#isThere()) return this.#watchFolder();
    this.#tell(`the control socket ${this.#path} was removed: who is connected goes on, and it is made anew`);
    try {
      Deno.mkdirSync(folderOf(this.#path), { recursive: true, mode: 0o755 });
      const before = this.#socket;
      this.#socket = this.#listen();
      this.#listener?.onListening(this.#socket);
      before.close();
      this.#watchFolder();
      this.#told = "";
      this.#log.info("listening again", { path: this.#path });
    } catch (error) {
      this.#tell(messageOf(error));
      this.#loop?.arm(this, nowNs + RETRY_NS);
    }
  }

  /** Called by the loop: a look threw; the next one comes. */
  onFault(): void {
    this.#loop?.arm(this, this.#loop.clock.nowNs() + RETRY_NS);
  }

  /** Stops watching: what happens to the path from now on is meant. */
  leave(): void {
    if (this.#inotify === undefined) return;
    this.#loop?.disarm(this);
    this.#loop?.unwatch(this.#inotify.fd);
  }

  /**
   * Closes the socket and removes its file, if that is still ours. After the last turn: the kernel takes up
   * to 15 ms to put an inotify instance away.
   */
  close(): void {
    this.#inotify?.[Symbol.dispose]();
    if (this.#isThere()) unlinkSocket(this.#path);
    this.#socket.close();
  }

  get #mode(): number {
    return this.#admitsOthers ? 0o666 : 0o600;
  }

  #listen(): OwnedFd {
    try {
      const socket = listenUnix(this.#path, SOCKET.SEQPACKET, { mode: this.#mode, backlog: BACKLOG });
      this.#inode = Deno.lstatSync(this.#path).ino;
      return socket;
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      const remedy = ["EACCES", "EPERM", "EROFS"].includes(error.errnoName)
        ? "no permission to make a socket in its folder; give --socket PATH in a folder of yours, or run as root"
        : error.message;
      throw new Fault("refused", `Cannot listen on ${this.#path}: ${remedy}`, { cause: error });
    }
  }

  /** Whether the file of this name is our socket. */
  #isThere(): boolean {
    try {
      return this.#inode !== null && Deno.lstatSync(this.#path).ino === this.#inode;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
      throw error;
    }
  }

  #watchFolder(): void {
    try {
      this.#inotify?.watch(folderOf(this.#path), TAKEN_AWAY);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      // Served all the same; it is only not noticed when the path goes.
      this.#tell(`cannot watch the control socket's folder: ${error.message}`);
    }
  }

  #tell(what: string): void {
    if (what === this.#told) return;
    this.#told = what;
    this.#log.error(what);
  }
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "." : slash === 0 ? "/" : path.slice(0, slash);
}
