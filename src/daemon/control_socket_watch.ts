/**
 * Notices when the control socket's file or its folder is removed while the daemon runs. Existing connections
 * are not affected (they do not need the path); one line is logged, and the socket is made again as soon as
 * possible.
 * @module
 */
import { INOTIFY, Inotify } from "../../ffi/inotify.ts";
import { OsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { IN } from "../../ffi/poller.ts";
import { assert } from "../base/assert.ts";
import { MS, SECOND } from "../base/clock.ts";
import { messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import type { FdHandler, LoopPort, TimerHandler } from "../core/adapter_port.ts";
import type { ControlSocketFile } from "./control_socket_file.ts";

const TAKEN_AWAY = INOTIFY.DELETE | INOTIFY.MOVED_FROM | INOTIFY.DELETE_SELF | INOTIFY.MOVE_SELF |
  INOTIFY.UNMOUNT | INOTIFY.ONLYDIR;
/** A folder is removed file by file, so the check waits until the last of them is gone, ns. */
const SETTLE_NS = 50 * MS;
const RETRY_NS = SECOND;

/** The options of a watch. */
export interface ControlSocketWatchOptions {
  /** The socket. */
  readonly file: ControlSocketFile;
  /** The loop that it runs on. */
  readonly loop: LoopPort;
  /** Its log. */
  readonly log: Log;
  /** Called when a new socket listens; the previous one is closed when this returns. */
  readonly onListening: (socket: OwnedFd) => void;
}

/** Watches the control socket's path, from its construction on. */
export class ControlSocketWatch implements FdHandler, TimerHandler, Disposable {
  readonly #options: ControlSocketWatchOptions;
  readonly #inotify: Inotify = Inotify.create();
  #told = "";
  #state: "watching" | "stopped" | "disposed" = "watching";

  /** Starts watching. */
  constructor(options: ControlSocketWatchOptions) {
    this.#options = options;
    options.loop.watch(this.#inotify.fd, IN, this);
    this.#watchFolder();
  }

  /** Called by the loop: a file was removed from the folder, or the folder itself was. */
  onReady(): void {
    const { file: { name }, loop } = this.#options;
    const isOurs = this.#inotify.read().some((event) => event.name === "" || event.name === name);
    if (isOurs) loop.arm(this, loop.clock.nowNs() + SETTLE_NS);
  }

  /** Called by the loop: checks whether the socket's file is there, and makes it again if not. */
  onTimer(nowNs: number): void {
    assert(this.#state === "watching", "a look is armed only while the path is watched");
    const { file, loop, log, onListening } = this.#options;
    if (file.isThere) return this.#watchFolder();
    this.#tell(
      `the control socket ${file.path} was removed: connected controls continue, and it is created again`,
    );
    try {
      file.listenAgain(onListening);
      this.#watchFolder();
      this.#told = "";
      log.info("listening again", { path: file.path });
    } catch (error) {
      this.#tell(messageOf(error));
      loop.arm(this, nowNs + RETRY_NS);
    }
  }

  /** Called by the loop: a check threw; it is repeated. */
  onFault(): void {
    if (this.#state !== "watching") return;
    const { loop } = this.#options;
    loop.arm(this, loop.clock.nowNs() + RETRY_NS);
  }

  /** Stops watching: from now on, the daemon itself removes the file. */
  stop(): void {
    if (this.#state !== "watching") return;
    this.#state = "stopped";
    this.#options.loop.disarm(this);
    this.#options.loop.unwatch(this.#inotify.fd);
  }

  /**
   * Closes the descriptor. To be called after the last turn, because the kernel takes up to 15 ms to remove
   * an inotify instance.
   */
  [Symbol.dispose](): void {
    this.stop();
    if (this.#state === "disposed") return;
    this.#state = "disposed";
    this.#inotify[Symbol.dispose]();
  }

  #watchFolder(): void {
    try {
      this.#inotify.watch(this.#options.file.folder, TAKEN_AWAY);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      // The daemon serves all the same, but will not notice when the path is removed.
      this.#tell(`cannot watch the control socket's folder: ${error.message}`);
    }
  }

  #tell(what: string): void {
    if (what === this.#told) return;
    this.#told = what;
    this.#options.log.error(what);
  }
}
