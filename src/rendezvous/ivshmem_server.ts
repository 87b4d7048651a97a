/**
 * The server for QEMU's `-device ivshmem-doorbell`: one memory and one socket per channel. It makes the
 * memory, gives each client an id and four eventfds, and tells all of them which clients come and go. Both
 * ends of the channel are its clients: VMs, and processes of the host (src/rendezvous/ivshmem_device.ts).
 *
 * It has no loop of its own: the caller passes one to {@linkcode IvshmemServer.addTo}. It never blocks: a
 * client whose socket is full is dropped, and the doorbells, which its clients may block for each other, it
 * only makes and closes. It does not read the memory, and does not know which client listens and which
 * connects.
 *
 * An error with a client ends that client. For lack of descriptors it pauses (ffi/accept_loop.ts); a client
 * that cannot be given doorbells is refused.
 * @module
 */
import { AcceptLoop, isShortage, type Reception } from "../../ffi/accept_loop.ts";
import { Doorbell } from "../../ffi/doorbell.ts";
import { addSeals, createMemfd, SEAL } from "../../ffi/memfd.ts";
import { closeConnection, type OwnedFd } from "../../ffi/owned_fd.ts";
import { ERR, HUP, IN, RDHUP } from "../../ffi/poller.ts";
import {
  listenUnix,
  type PeerCredentials,
  peerCredentials,
  SOCKET,
  unlinkSocket,
} from "../../ffi/unix_socket.ts";
import { SECOND } from "../base/clock.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { MAX_IVSHMEM_PEERS, MAX_IVSHMEM_PEERS_OF_USER } from "../base/limits.ts";
import { type Log, SILENT } from "../base/log.ts";
import { MAX_ORDER, regionBytes } from "../v2v/region_layout.ts";
import { isOwnUser, ownUserRule, type PeerRule } from "./admission.ts";
import {
  IVSHMEM_MEMORY,
  IVSHMEM_VECTORS,
  IVSHMEM_VERSION,
  MAX_IVSHMEM_ID,
  sendIvshmem,
} from "./ivshmem_protocol.ts";

/** An event loop, as used by the server: watches descriptors and deadlines. The daemon's loop is one. */
export interface FdRegistrar {
  /** The loop's clock. */
  readonly clock: { nowNs(): number };
  /** Watches a descriptor for these epoll events. */
  watch(fd: number, events: number, handler: FdCallback): void;
  /** Stops that; to be called before the descriptor is closed. */
  unwatch(fd: number): void;
  /** Calls back at a time, once; moves an earlier deadline of the same handler. */
  arm(handler: TimeCallback, deadlineNs: number): void;
  /** Cancels that. */
  disarm(handler: TimeCallback): void;
}

/** Called when a descriptor is ready. */
export interface FdCallback {
  /** Receives epoll's bits. */
  onReady(events: number): void;
}

/** Called at a deadline. */
export interface TimeCallback {
  /** Receives the time. */
  onTimer(nowNs: number): void;
}

/** Options of a server. */
export interface IvshmemOptions {
  /** The socket for QEMU: `-chardev socket,path=…`. */
  readonly socketPath: string;
  /** Capacity: both rings of a listener may have up to this order, 0 to 8; by default 6 (256 KiB). */
  readonly order?: number;
  /** Who may connect: the users of QEMU and of the host's programs. By default our own and root. */
  readonly rule?: PeerRule;
  /** Permission bits of the socket's file; 0o600 by default. */
  readonly socketMode?: number;
  /** Called when clients come and go. */
  readonly onChange?: (peers: readonly IvshmemPeer[]) => void;
  /** Logs refusals. */
  readonly log?: Log;
}

/** A client. */
export interface IvshmemPeer {
  /** Its id, from 1; not used again until 65535 others have connected. */
  readonly id: number;
  /** Its credentials. */
  readonly credentials: PeerCredentials;
}

interface Client extends IvshmemPeer {
  readonly socket: OwnedFd;
  readonly bells: readonly Doorbell[];
}

/**
 * Connections accepted per turn of the loop: each costs its greeting, and a message to every other client.
 */
const KNOCKS_A_TURN = 8;
/** Interval at which refusals are logged. */
const TELL_EVERY_NS = 10 * SECOND;

/** A memory, its socket and its clients. */
export class IvshmemServer implements Disposable {
  /** The socket for QEMU. */
  readonly socketPath: string;
  /** Size of the memory, bytes: a power of two, like a PCI BAR. */
  readonly sizeBytes: number;
  readonly #socket: OwnedFd;
  readonly #memory: OwnedFd;
  readonly #rule: PeerRule;
  readonly #onChange: (peers: readonly IvshmemPeer[]) => void;
  readonly #log: Log;
  readonly #clients = new Map<number, Client>(); // by the socket's descriptor
  #registrar: FdRegistrar | undefined;
  #accepting: AcceptLoop | undefined;
  #nextId = 1;
  #refused = 0;
  #toldNs = -Infinity;

  /**
   * Makes the memory and listens; nothing is served before {@linkcode addTo}.
   *
   * @throws {Fault} `bad-argument` for an invalid order, `busy` when somebody listens there already
   */
  constructor(options: IvshmemOptions) {
    const order = options.order ?? 6;
    if (!(Number.isInteger(order) && order >= 0 && order <= MAX_ORDER)) {
      throw new Fault("bad-argument", `Cannot serve rings of order ${order}: use 0 to ${MAX_ORDER}.`);
    }
    this.socketPath = options.socketPath;
    this.sizeBytes = 2 ** Math.ceil(Math.log2(regionBytes(order, order)));
    this.#rule = options.rule ?? ownUserRule();
    this.#onChange = options.onChange ?? (() => {});
    this.#log = options.log ?? SILENT;
    this.#memory = createMemfd("vmsig-ivshmem", this.sizeBytes, { sealable: true });
    try {
      addSeals(this.#memory.fd, SEAL.SHRINK | SEAL.GROW | SEAL.SEAL);
      this.#socket = listenUnix(options.socketPath, SOCKET.STREAM, {
        mode: options.socketMode ?? 0o600,
        backlog: 8,
      });
    } catch (error) {
      this.#memory.close();
      throw error;
    }
  }

  /** The connected clients. */
  get peers(): readonly IvshmemPeer[] {
    return [...this.#clients.values()];
  }

  /** Starts serving on this loop. */
  addTo(registrar: FdRegistrar): void {
    this.#registrar = registrar;
    this.#accepting = new AcceptLoop({
      host: registrar,
      listener: this.#socket,
      log: this.#log,
      what: this.socketPath,
      // One spare descriptor would not help, since a client needs five.
      spare: false,
      mostATurn: KNOCKS_A_TURN,
      onPeer: (socket) => this.#knock(socket),
      onFault: (error) => this.#tellRefusal(messageOf(error)),
    });
  }

  #knock(socket: OwnedFd): Reception {
    const credentials = peerCredentials(socket.fd);
    const refusal = this.#refusal(credentials);
    if (refusal === undefined) return this.#welcome(socket, credentials);
    this.#tellRefusal(refusal, credentials);
    closeConnection(socket.release());
    return "turned-away";
  }

  /** Why a client is refused, if it is. */
  #refusal(credentials: PeerCredentials): string | undefined {
    if (!this.#rule(credentials)) return "its user is not admitted";
    const same = this.peers.filter((peer) => peer.credentials.uid === credentials.uid).length;
    if (same >= MAX_IVSHMEM_PEERS_OF_USER) return "its user has too many clients here";
    // Root and the daemon's own user always have room, so that nobody can lock them out.
    if (isOwnUser(credentials)) return undefined;
    const others = this.peers.filter((peer) => !isOwnUser(peer.credentials)).length;
    return others >= MAX_IVSHMEM_PEERS ? "too many clients" : undefined;
  }

  /** One line for many, because a refused client can return at once. */
  #tellRefusal(why: string, credentials?: PeerCredentials): void {
    this.#refused++;
    const nowNs = this.#registrar?.clock.nowNs() ?? 0;
    if (nowNs - this.#toldNs < TELL_EVERY_NS) return;
    this.#toldNs = nowNs;
    const { uid, pid } = credentials ?? {};
    this.#log.warn(`a client was refused: ${why}`, {
      socket: this.socketPath,
      ...(uid === undefined ? {} : { uid, pid }),
      refused: this.#refused,
    });
  }

  #welcome(socket: OwnedFd, credentials: PeerCredentials): Reception {
    const bells = this.#makeBells(socket, credentials);
    if (bells === undefined) return "turned-away";
    const client: Client = { id: this.#freeId(), credentials, socket, bells };
    const others = [...this.#clients.values()];
    this.#clients.set(socket.fd, client);
    try {
      const onReady = (events: number): void => this.#guarded(client, () => this.#hear(client, events));
      this.#registrar?.watch(socket.fd, IN | RDHUP | HUP | ERR, { onReady });
      this.#greet(client, others);
    } catch (error) {
      this.#drop(client, messageOf(error));
    }
    return "kept";
  }

  #makeBells(socket: OwnedFd, credentials: PeerCredentials): Doorbell[] | undefined {
    try {
      return Doorbell.createAll(IVSHMEM_VECTORS);
    } catch (error) {
      closeConnection(socket.release());
      if (!isShortage(error)) throw error;
      this.#tellRefusal(`${messageOf(error)}; raise the limit of descriptors (LimitNOFILE)`, credentials);
      return undefined;
    }
  }

  #greet(client: Client, others: readonly Client[]): void {
    const { fd } = client.socket;
    const greeted = sendIvshmem(fd, IVSHMEM_VERSION) && sendIvshmem(fd, client.id) &&
      sendIvshmem(fd, IVSHMEM_MEMORY, this.#memory.fd) &&
      others.every((other) => introduce(other, fd)) && introduce(client, fd);
    if (!greeted) return this.#drop(client, "it took no greeting");
    for (const other of others) {
      if (other.socket.closed) continue;
      this.#guarded(other, () => {
        if (!introduce(client, other.socket.fd)) this.#drop(other, "it does not read");
      });
    }
    this.#onChange(this.peers);
  }

  /** Acts for a client; an error ends that client. */
  #guarded(client: Client, what: () => void): void {
    try {
      what();
    } catch (error) {
      this.#drop(client, messageOf(error));
    }
  }

  #freeId(): number {
    const used = new Set([...this.#clients.values()].map((client) => client.id));
    do {
      this.#nextId = this.#nextId > MAX_IVSHMEM_ID ? 1 : this.#nextId;
      if (!used.has(this.#nextId)) break;
      this.#nextId++;
    } while (true);
    return this.#nextId++;
  }

  /**
   * Clients never send anything: readiness means that one has closed, or sent something by mistake. It is not
   * read, because a received descriptor would be closed here, which can block for as long as its sender likes
   * (shim/vmsig_closer.c).
   */
  #hear(client: Client, events: number): void {
    const hasLeft = (events & (RDHUP | HUP | ERR)) !== 0;
    this.#drop(client, hasLeft ? "it left" : "it spoke, which no client of this protocol does");
  }

  /** Drops a client, and those that do not accept the notification. */
  #drop(client: Client, why: string): void {
    const leaving: [Client, string][] = [[client, why]];
    for (const [who, reason] of leaving) { // grows while it is walked
      if (!this.#forget(who, reason)) continue;
      for (const other of this.#clients.values()) {
        const failure = this.#tellOfEnd(other, who.id);
        if (failure !== undefined) leaving.push([other, failure]);
      }
    }
    this.#onChange(this.peers);
  }

  #tellOfEnd(client: Client, id: number): string | undefined {
    try {
      return sendIvshmem(client.socket.fd, id) ? undefined : "it does not read";
    } catch (error) {
      return messageOf(error);
    }
  }

  #forget(client: Client, why: string): boolean {
    if (client.socket.closed) return false;
    this.#log.info("a client is gone", { socket: this.socketPath, peer: client.id, why });
    this.#clients.delete(client.socket.fd);
    this.#registrar?.unwatch(client.socket.fd);
    closeConnection(client.socket.release());
    for (const bell of client.bells) {
      // nobody reads it any more: a QEMU that is stuck ringing it, because somebody filled it, is freed
      bell.hush();
      bell[Symbol.dispose]();
    }
    return true;
  }

  /**
   * Stops serving: all clients are dropped, and the socket's file is removed. The clients' mappings remain.
   */
  [Symbol.dispose](): void {
    if (this.#socket.closed) return;
    this.#accepting?.[Symbol.dispose]();
    for (const client of [...this.#clients.values()]) this.#drop(client, "the server ends");
    try {
      unlinkSocket(this.socketPath); // before the close: afterwards the name could be the next server's
    } finally {
      this.#socket.close();
      this.#memory.close();
    }
  }
}

/** Announces a client to another, or to itself: one message per vector. */
function introduce(client: Client, to: number): boolean {
  return client.bells.every((bell) => sendIvshmem(to, client.id, bell.fd));
}
