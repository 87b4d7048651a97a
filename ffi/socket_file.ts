/**
 * A listening unix socket together with its file: the file is removed only while it is still this socket's,
 * because somebody may have removed it and listen at the same path by now.
 * @module
 */
import type { OwnedFd } from "./owned_fd.ts";
import { type ListenOptions, listenUnix, type SocketType, unlinkSocket } from "./unix_socket.ts";

const NOT_OURS = [Deno.errors.NotFound, Deno.errors.NotADirectory, Deno.errors.PermissionDenied];

/** A socket that listens at a path. */
export class SocketFile implements Disposable {
  /** Its path. */
  readonly path: string;
  /** The listening socket, borrowed. */
  readonly socket: OwnedFd;
  readonly #inode: number | null;

  /**
   * Starts listening.
   *
   * @throws {Fault} as {@linkcode listenUnix}
   * @throws {OsError} as {@linkcode listenUnix}
   */
  constructor(path: string, type: SocketType, options: ListenOptions) {
    this.path = path;
    this.socket = listenUnix(path, type, options);
    this.#inode = inodeAt(path);
  }

  /** Whether the file at this path is this socket's. */
  get isThere(): boolean {
    return this.#inode !== null && inodeAt(this.path) === this.#inode;
  }

  /**
   * Closes the socket and removes its file, if it is still its own. Does nothing the second time.
   *
   * @throws {OsError} when the file cannot be removed; the socket is closed all the same
   */
  [Symbol.dispose](): void {
    if (this.socket.closed) return;
    try {
      if (this.isThere) unlinkSocket(this.path);
    } finally {
      this.socket.close();
    }
  }
}

/** The number of the file at a path, null if there is none, or it may not be looked at. */
function inodeAt(path: string): number | null {
  try {
    return Deno.lstatSync(path).ino;
  } catch (error) {
    if (NOT_OURS.some((kind) => error instanceof kind)) return null;
    throw error;
  }
}
