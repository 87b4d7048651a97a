/**
 * A monitor that is the client of its socket (`-chardev socket,path=PATH,reconnect=1`, `-qmp unix:PATH`
 * without a server): vmsig listens (listen_place.ts), and QEMU connects, however often either of them starts
 * anew.
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
import { peerCredentials } from "../../../ffi/unix_socket.ts";
import { assert } from "../../base/assert.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import type { Log, LogFields } from "../../base/log.ts";
import type { Listening, ListenPlace } from "./listen_place.ts";
import type { MonitorLoop } from "./monitor_loop.ts";
import type { PeerTrust } from "./peer_trust.ts";
import { listenLoss } from "./qmp_loss.ts";
import type { QmpArrivals, QmpAttempt, QmpDoor, QmpPeer, QmpTransport } from "./qmp_transport.ts";

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

/** Listens at one place. */
export class ListenTransport implements QmpTransport, QmpArrivals {
  readonly name: string;
  readonly passesDescriptors = true;
  readonly canReconnect = true;
  readonly arrivals: QmpArrivals = this;
  readonly #place: ListenPlace;
  readonly #parts: ListenParts;
  readonly #toldUsers = new Set<number>();
  /** Whether it was logged that somebody else came while the present QEMU was connected. */
  #hasToldOther = false;
  readonly #onChange = (): void => this.#refresh();
  #door: QmpDoor | null = null;
  #listening: Listening | null = null;
  #accepting: AcceptLoop | null = null;
  /** A connection that the link has not taken yet. */
  #next: OwnedFd | null = null;

  /** Does not listen yet. */
  constructor(place: ListenPlace, parts: ListenParts) {
    this.name = place.name;
    this.#place = place;
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

  /** Listens, unless it does already; again if its file was removed. */
  #listen(): void {
    if (this.#listening?.isThere) return;
    this.#stopListening();
    const { loop, log, trust } = this.#parts;
    const listening = this.#place.listen(trust.admitsOthers);
    this.#listening = listening;
    this.#accepting = new AcceptLoop({
      host: loop,
      listener: listening.socket,
      log,
      what: this.name,
      spare: false,
      onPeer: (socket) => this.#receive(socket),
    });
    log.info("listening for QEMU", { on: this.name });
  }

  #stopListening(): void {
    this.#accepting?.[Symbol.dispose]();
    this.#accepting = null;
    const listening = this.#listening;
    this.#listening = null;
    try {
      listening?.[Symbol.dispose]();
    } catch (error) {
      this.#parts.log.warn(`cannot remove the socket of ${this.name}: ${messageOf(error)}`);
    }
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
    this.#tellRefusal(isTrusted, { on: this.name, uid, pid });
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
    if (this.#listening === null) return;
    try {
      if (this.#listening.isThere) this.#listening.admitOthers(this.#parts.trust.admitsOthers);
      else this.#listen();
    } catch (error) {
      this.#parts.log.error(`cannot go on listening on ${this.name}: ${messageOf(error)}`);
    }
  }
}
