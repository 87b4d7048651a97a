/**
 * The control socket in the file system: listens at its path, sets whether other users may open the file, and
 * can be made again at the same path when the file or its folder was removed.
 * @module
 */
import { OsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { SocketFile } from "../../ffi/socket_file.ts";
import { SOCKET } from "../../ffi/unix_socket.ts";
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";

const BACKLOG = 1024;

/** A listening socket and its path. */
export class ControlSocketFile {
  /** Its path. */
  readonly path: string;
  readonly #log: Log;
  #admitsOthers: boolean;
  #file: SocketFile;

  /**
   * Starts listening.
   *
   * @param admitsOthers whether other users may connect at all; rights are decided by uid at HELLO
   * @throws {Fault} `refused` when another process listens there, or the socket cannot be made
   */
  constructor(path: string, admitsOthers: boolean, log: Log) {
    this.path = path;
    this.#log = log;
    this.#admitsOthers = admitsOthers;
    this.#file = this.#listen();
  }

  /** The listening socket, borrowed. */
  get socket(): OwnedFd {
    return this.#file.socket;
  }

  /** The folder of the socket. */
  get folder(): string {
    const slash = this.path.lastIndexOf("/");
    return slash < 0 ? "." : slash === 0 ? "/" : this.path.slice(0, slash);
  }

  /** The file's name in its folder. */
  get name(): string {
    return this.path.slice(this.path.lastIndexOf("/") + 1);
  }

  /** Whether the file at this path is our socket. */
  get isThere(): boolean {
    return this.#file.isThere;
  }

  /** Sets whether other users may open the socket file, after the rules have changed. */
  admitOthers(admits: boolean): void {
    if (admits === this.#admitsOthers) return;
    this.#admitsOthers = admits;
    try {
      Deno.chmodSync(this.path, this.#mode);
    } catch (error) {
      // A file that is gone will be made again with the right mode.
      if (!(error instanceof Deno.errors.NotFound)) {
        this.#log.error(`cannot change who may open ${this.path}: ${messageOf(error)}`);
      }
    }
  }

  /**
   * Makes the folder and the socket again.
   *
   * @param onListening gets the new socket, borrowed; the old one is closed when this returns
   * @throws {Fault} `refused` when the socket cannot be made; the old one stays
   */
  listenAgain(onListening: (socket: OwnedFd) => void): void {
    Deno.mkdirSync(this.folder, { recursive: true, mode: 0o755 });
    const before = this.#file;
    this.#file = this.#listen();
    onListening(this.#file.socket);
    // Not disposed of: the new file may have the inode of the old one, and has to stay.
    before.socket.close();
  }

  /** Closes the socket and removes its file, if it is still ours. */
  close(): void {
    assert(!this.#file.socket.closed, "a socket is closed once");
    this.#file[Symbol.dispose]();
  }

  get #mode(): number {
    return this.#admitsOthers ? 0o666 : 0o600;
  }

  #listen(): SocketFile {
    try {
      return new SocketFile(this.path, SOCKET.SEQPACKET, { mode: this.#mode, backlog: BACKLOG });
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      const remedy = ["EACCES", "EPERM", "EROFS"].includes(error.errnoName)
        ? "no permission to create a socket in its folder; give --socket PATH in a folder of yours, or run as root"
        : error.message;
      throw new Fault("refused", `Cannot listen on ${this.path}: ${remedy}`, { cause: error });
    }
  }
}
