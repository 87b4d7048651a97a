/**
 * A monitor that is the client of its socket (`-chardev socket,path=PATH,reconnect=1`, `-qmp unix:PATH`
 * without a server): vmsig listens at the path, and QEMU connects, however often either of them starts anew.
 *
 * Who connects is believed to be the VM, so it must be a user who is trusted (SO_PEERCRED), and the socket
 * must be where nobody else could put another in its place: in a folder that only root or the daemon's user
 * writes. One connection at a time is passed on; others are closed. The socket listens while its link has
 * users, and its file is removed afterwards.
 * @module
 */
import { AcceptLoop, type Reception } from "../../../ffi/accept_loop.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { closeConnection, type OwnedFd } from "../../../ffi/owned_fd.ts";
import { SocketFile } from "../../../ffi/socket_file.ts";
import { peerCredentials, SOCKET } from "../../../ffi/unix_socket.ts";
import { assert } from "../../base/assert.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import type { Log, LogFields } from "../../base/log.ts";
import { LISTEN_PREFIX } from "../qmp_address.ts";
import type { MonitorLoop } from "./monitor_loop.ts";
import type { PeerTrust } from "./peer_trust.ts";
import { listenLoss } from "./qmp_loss.ts";
import type { QmpArrivals, QmpAttempt, QmpDoor, QmpPeer, QmpTransport } from "./qmp_transport.ts";

const BACKLOG = 16;
const WRITABLE_BY_OTHERS = 0o022;
/** Users whose refusal is logged, each once. */
const MOST_TOLD_USERS = 16;

/** What a listening transport is made with. */
export interface ListenParts {
  /** The loop on which it accepts. */
  readonly loop: MonitorLoop;
  /** Logs who is refused. */
  readonly log: Log;
  /** Who may connect. */
  readonly trust: PeerTrust;
}

/** Listens at one path. */
export class ListenTransport implements QmpTransport, QmpArrivals {
  readonly name: string;
  readonly passesDescriptors = true;
  readonly canReconnect = true;
  readonly arrivals: QmpArrivals = this;
  readonly #path: string;
  readonly #parts: ListenParts;
  readonly #toldUsers = new Set<number>();
  /** Whether it was logged that somebody else came while the present QEMU was connected. */
  #hasToldOther = false;
  readonly #onChange = (): void => this.#refresh();
  #door: QmpDoor | null = null;
  #file: SocketFile | null = null;
  #accepting: AcceptLoop | null = null;
  /** A connection that the link has not taken yet. */
  #next: OwnedFd | null = null;

  /**
   * Does not listen yet.
   *
   * @param path absolute
   */
  constructor(path: string, parts: ListenParts) {
    this.name = `${LISTEN_PREFIX}${path}`;
    this.#path = path;
    this.#parts = parts;
  }

  begin(door: QmpDoor): void {
    assert(this.#door === null, "a transport that listens has one link");
    this.#door = door;
    this.#parts.trust.follow(this.#onChange);
  }

  end(): void {
    this.#parts.trust.unfollow(this.#onChange);
    this.#door = null;
    this.#stopListening();
    const next = this.#next;
    this.#next = null;
    if (next !== null) closeConnection(next.release());
  }

  connect(): QmpAttempt {
    try {
      this.#listen();
    } catch (error) {
      if (!(error instanceof Fault || error instanceof OsError)) throw error;
      return { outcome: "occupied", loss: listenLoss(error) };
    }
    const socket = this.#next;
    this.#next = null;
    if (socket === null) return { outcome: "awaited" };
    this.#hasToldOther = false;
    return { outcome: "connected", socket };
  }

  finish(socket: OwnedFd): QmpAttempt {
    return { outcome: "connected", socket };
  }

  /** The peer of a connection that was accepted is who has connected. */
  peerOf(fd: number): QmpPeer {
    return peerCredentials(fd);
  }

  get #mode(): number {
    return this.#parts.trust.admitsOthers ? 0o666 : 0o600;
  }

  /** Listens, unless it does already; again if its file was removed. */
  #listen(): void {
    if (this.#file?.isThere) return;
    this.#stopListening();
    checkFolder(this.#path);
    const { loop, log } = this.#parts;
    const file = new SocketFile(this.#path, SOCKET.STREAM, { mode: this.#mode, backlog: BACKLOG });
    this.#file = file;
    this.#accepting = new AcceptLoop({
      host: loop,
      listener: file.socket,
      log,
      what: this.#path,
      spare: false,
      onPeer: (socket) => this.#receive(socket),
    });
    log.info("listening for QEMU", { path: this.#path });
  }

  #stopListening(): void {
    this.#accepting?.[Symbol.dispose]();
    this.#accepting = null;
    const file = this.#file;
    this.#file = null;
    file?.[Symbol.dispose]();
  }

  #receive(socket: OwnedFd): Reception {
    const { pid, uid } = peerCredentials(socket.fd);
    const isTrusted = this.#parts.trust.isTrusted(uid);
    if (isTrusted && this.#next === null && this.#door?.isOpen === true) {
      this.#next = socket;
      this.#door.onArrival();
      return "kept";
    }
    closeConnection(socket.release());
    this.#tellRefusal(isTrusted, { path: this.#path, uid, pid });
    return "turned-away";
  }

  /** Once, however often they come: QEMU itself tries again each second. */
  #tellRefusal(isTrusted: boolean, fields: LogFields & { readonly uid: number }): void {
    if (isTrusted ? this.#hasToldOther : this.#toldUsers.has(fields.uid)) return;
    if (isTrusted) this.#hasToldOther = true;
    else if (this.#toldUsers.size === MOST_TOLD_USERS) return;
    else this.#toldUsers.add(fields.uid);
    const why = isTrusted
      ? "another QEMU is connected"
      : "its user is not trusted; if its VM is to be attached, name it in [discovery] users";
    this.#parts.log.warn(`who connected as a QEMU was refused: ${why}`, fields);
  }

  /** The config was read again: sets who may open the file, and makes it again if somebody removed it. */
  #refresh(): void {
    if (this.#file === null) return;
    try {
      if (this.#file.isThere) Deno.chmodSync(this.#path, this.#mode);
      else this.#listen();
    } catch (error) {
      this.#parts.log.error(`cannot go on listening on ${this.#path}: ${messageOf(error)}`);
    }
  }
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
