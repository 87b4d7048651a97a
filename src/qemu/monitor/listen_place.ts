/**
 * Where vmsig listens for a QEMU: at a path that it binds itself, or on a socket that it was given (systemd's
 * socket activation).
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { SocketFile } from "../../../ffi/socket_file.ts";
import { SOCKET } from "../../../ffi/unix_socket.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { LISTEN_PREFIX } from "../qmp_address.ts";

const BACKLOG = 16;
const WRITABLE_BY_OTHERS = 0o022;

/** A listening socket in use. */
export interface Listening extends Disposable {
  /** The socket, borrowed. */
  readonly socket: OwnedFd;
  /** Whether it can still be reached by those who connect. */
  readonly isThere: boolean;
  /** Sets whether other users than root and the daemon's own may open it. */
  admitOthers(admits: boolean): void;
}

/** A place to listen at. */
export interface ListenPlace {
  /** The address, for logs and messages. */
  readonly name: string;
  /**
   * Listens; the caller disposes of the result.
   *
   * @throws {Fault} when that is not possible, with what to do
   */
  listen(admitsOthers: boolean): Listening;
}

/** A path, with a file of mode 0600, or 0666 where other users may connect. */
export class ListenPath implements ListenPlace {
  readonly name: string;
  readonly #path: string;

  /**
   * Does not listen yet.
   *
   * @param path absolute
   */
  constructor(path: string) {
    this.name = `${LISTEN_PREFIX}${path}`;
    this.#path = path;
  }

  listen(admitsOthers: boolean): Listening {
    checkFolder(this.#path);
    const path = this.#path;
    const file = new SocketFile(path, SOCKET.STREAM, { mode: modeFor(admitsOthers), backlog: BACKLOG });
    return {
      socket: file.socket,
      get isThere() {
        return file.isThere;
      },
      admitOthers: (admits) => Deno.chmodSync(path, modeFor(admits)),
      [Symbol.dispose]: () => file[Symbol.dispose](),
    };
  }
}

/** A listening socket that is kept open by its owner; whoever has made it decides who may open its file. */
export class ListenGiven implements ListenPlace {
  readonly name: string;
  readonly #socket: OwnedFd;

  /**
   * Does not accept yet.
   *
   * @param name its name in messages: "fd:web"
   * @param socket listening and nonblocking, borrowed
   */
  constructor(name: string, socket: OwnedFd) {
    this.name = name;
    this.#socket = socket;
  }

  listen(): Listening {
    return { socket: this.#socket, isThere: true, admitOthers: () => {}, [Symbol.dispose]: () => {} };
  }
}

function modeFor(admitsOthers: boolean): number {
  return admitsOthers ? 0o666 : 0o600;
}

/**
 * Whoever writes the folder could listen in vmsig's place, or keep it waiting for the lock of the socket.
 *
 * @throws {Fault} `refused`, with what to do
 */
function checkFolder(path: string): void {
  const folder = path.slice(0, path.lastIndexOf("/")) || "/";
  let found: Deno.FileInfo;
  try {
    found = Deno.statSync(folder);
  } catch (error) {
    throw new Fault("refused", `Cannot listen on ${path}: ${messageOf(error)}; make the folder ${folder}`, {
      cause: error,
    });
  }
  const isOurs = found.uid === 0 || found.uid === Deno.uid();
  if (isOurs && ((found.mode ?? 0) & WRITABLE_BY_OTHERS) === 0) return;
  throw new Fault(
    "refused",
    `Cannot listen on ${path}: others than root and uid ${Deno.uid()} may write in ${folder}; use a folder such as /run/vmsig, or chown and chmod 755 it`,
  );
}
