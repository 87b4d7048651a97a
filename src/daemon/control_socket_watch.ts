/**
 * Notices when the control socket's file or its folder is removed while the daemon runs. Connections go on
 * undisturbed (they do not need the path), one line says so, and the socket is made anew as soon as that is
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
/** A folder that is removed goes file by file: the first look waits for the last of them. */
const SETTLE_NS = 50 * MS;
const RETRY_NS = SECOND;

/** What a watch is made of. */
export interface ControlSocketWatchOptions {
  /** The socket. */
  readonly file: ControlSocketFile;
  /** The loop that watches. */
  readonly loop: LoopPort;
  /** Where it is told. */
  readonly log: Log;
  /** Another socket listens now; the one before is closed when this returns. */
  readonly onListening: (socket: OwnedFd) => void;
}

/** Watches the control socket's path, from when it is made. */
export class ControlSocketWatch implements FdHandler, TimerHandler, Disposable {
  readonly #options: ControlSocketWatchOptions;
  readonly #inotify: Inotify = Inotify.create();
  #told = "";
  #state: "watching" | "stopped" | "disposed" = "watching";

  /** Watches from now on. */
  constructor(options: ControlSocketWatchOptions) {
    this.#options = options;
    options.loop.watch(this.#inotify.fd, IN, this);
    this.#watchFolder();
  }

  /** Called by the loop: something was removed from the folder, or the folder itself was. */
  onReady(): void {
    const { file: { name }, loop } = this.#options;
    const isOurs = this.#inotify.read().some((event) => event.name === "" || event.name === name);
    if (isOurs) loop.arm(this, loop.clock.nowNs() + SETTLE_NS);
  }

  /** Called by the loop: looks whether the socket is still there, and makes it anew when it is not. */
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

  /** Called by the loop: a look threw; it is tried again. */
  onFault(): void {
    if (this.#state !== "watching") return;
    const { loop } = this.#options;
    loop.arm(this, loop.clock.nowNs() + RETRY_NS);
  }

  /** Stops watching: what happens to the path from now on is meant. */
  stop(): void {
    if (this.#state !== "watching") return;
    this.#state = "stopped";
    this.#options.loop.disarm(this);
    this.#options.loop.unwatch(this.#inotify.fd);
  }

  /**
   * Gives the descriptor back. After the last turn: the kernel takes up to 15 ms to put an inotify instance
   * away.
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
      // Served all the same; it is only not noticed when the path goes.
      this.#tell(`cannot watch the control socket's folder: ${error.message}`);
    }
  }

  #tell(what: string): void {
    if (what === this.#told) return;
    this.#told = what;
    this.#options.log.error(what);
  }
}
