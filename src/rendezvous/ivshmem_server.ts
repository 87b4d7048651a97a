/**
 * The server that QEMU's `-device ivshmem-doorbell` connects to: one memory and one socket a channel. It makes the
 * memory, gives each client an id and four eventfds, and tells all of them who comes and who goes. Both ends of the
 * channel are its clients: VMs, and processes of the host (src/rendezvous/ivshmem_device.ts).
 *
 * It owns no loop: whoever has one calls {@linkcode IvshmemServer.addTo}. It never blocks: a client whose socket is full
 * is dropped. It does not look into the memory, and does not know who listens and who connects.
 * @module
 */
import { EventFd } from "../../ffi/event_fd.ts";
import { addSeals, createMemfd, SEAL } from "../../ffi/memfd.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { ERR, HUP, IN, RDHUP } from "../../ffi/poller.ts";
import { readInto } from "../../ffi/stream.ts";
import {
  acceptUnix,
  listenUnix,
  type PeerCredentials,
  peerCredentials,
  SOCKET,
  unlinkSocket,
} from "../../ffi/unix_socket.ts";
import { Fault } from "../base/fault.ts";
import { MAX_IVSHMEM_PEERS } from "../base/limits.ts";
import { type Log, SILENT } from "../base/log.ts";
import { MAX_ORDER, regionBytes } from "../v2v/region_layout.ts";
import { ownUserRule, type PeerRule } from "./admission.ts";
import {
  IVSHMEM_MEMORY,
  IVSHMEM_VECTORS,
  IVSHMEM_VERSION,
  MAX_IVSHMEM_ID,
  sendIvshmem,
} from "./ivshmem_protocol.ts";

/** A loop, as the server sees it: it watches descriptors and calls back. The daemon's loop is one. */
export interface FdRegistrar {
  /** Watches a descriptor for these epoll events. */
  watch(fd: number, events: number, handler: FdCallback): void;
  /** Ends that; before the descriptor is closed. */
  unwatch(fd: number): void;
}

/** Who is called when a descriptor is ready. */
export interface FdCallback {
  /** Told with epoll's bits. */
  onReady(events: number): void;
}

/** How to serve. */
export interface IvshmemOptions {
  /** Where QEMU connects: `-chardev socket,path=…`. */
  readonly socketPath: string;
  /** The largest rings that a listener may lay out: both of this order, 0 to 8; 6 (256 KiB) unless told. */
  readonly order?: number;
  /** Who may connect: the users that QEMU and the host's programs run as. Our own and root unless told. */
  readonly rule?: PeerRule;
  /** Permission bits of the socket's file; 0o600 unless told. */
  readonly socketMode?: number;
  /** Called when clients come and go. */
  readonly onChange?: (peers: readonly IvshmemPeer[]) => void;
  /** Where refusals are told. */
  readonly log?: Log;
}

/** A client, as others see it. */
export interface IvshmemPeer {
  /** Its id, from 1, unused until 65535 others have come. */
  readonly id: number;
  /** Who it is. */
  readonly credentials: PeerCredentials;
}

interface Client extends IvshmemPeer {
  readonly socket: OwnedFd;
  readonly bells: readonly EventFd[];
}

/** A memory, its socket and its clients. */
export class IvshmemServer implements Disposable {
  /** Where QEMU connects. */
  readonly socketPath: string;
  /** Bytes of the memory: a power of two, as a PCI BAR is. */
  readonly sizeBytes: number;
  /** The listening socket, borrowed: readable when a client knocks. */
  readonly listenFd: number;
  readonly #socket: OwnedFd;
  readonly #memory: OwnedFd;
  readonly #rule: PeerRule;
  readonly #onChange: (peers: readonly IvshmemPeer[]) => void;
  readonly #log: Log;
  readonly #clients = new Map<number, Client>(); // by the socket's descriptor
  #registrar: FdRegistrar | undefined;
  #nextId = 1;

  /**
   * Makes the memory and listens; nothing is served before {@linkcode addTo}.
   *
   * @throws {Fault} `bad-argument` for an order that cannot be, `busy` when somebody listens there
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
    this.#socket = listenUnix(options.socketPath, SOCKET.STREAM, {
      mode: options.socketMode ?? 0o600,
      backlog: 8,
    });
    this.listenFd = this.#socket.fd;
    this.#memory = createMemfd("vmsig-ivshmem", this.sizeBytes, { sealable: true });
    addSeals(this.#memory.fd, SEAL.SHRINK | SEAL.GROW | SEAL.SEAL);
  }

  /** Who is connected. */
  get peers(): readonly IvshmemPeer[] {
    return [...this.#clients.values()];
  }

  /** Serves from now on, in this loop. */
  addTo(registrar: FdRegistrar): void {
    this.#registrar = registrar;
    registrar.watch(this.listenFd, IN, { onReady: () => this.onReadable(this.listenFd) });
  }

  /** What a loop calls when the listening socket or a client is readable, or hung up. */
  onReadable(fd: number): void {
    if (fd === this.listenFd) this.#knock();
    else this.#hear(fd);
  }

  #knock(): void {
    for (let i = 0; i < MAX_IVSHMEM_PEERS; i++) {
      const socket = acceptUnix(this.listenFd);
      if (socket === undefined) return;
      const credentials = peerCredentials(socket.fd);
      if (!this.#rule(credentials)) {
        this.#log.warn("a client was refused: its user is not admitted", {
          socket: this.socketPath,
          ...credentials,
        });
        socket.close();
      } else if (this.#clients.size >= MAX_IVSHMEM_PEERS) {
        this.#log.warn("a client was refused: too many", { socket: this.socketPath, pid: credentials.pid });
        socket.close();
      } else {
        this.#welcome(socket, credentials);
      }
    }
  }

  #welcome(socket: OwnedFd, credentials: PeerCredentials): void {
    const bells = Array.from({ length: IVSHMEM_VECTORS }, () => EventFd.create());
    const client: Client = { id: this.#freeId(), credentials, socket, bells };
    const others = [...this.#clients.values()];
    this.#clients.set(socket.fd, client);
    const onReady = (): void => this.onReadable(socket.fd);
    this.#registrar?.watch(socket.fd, IN | RDHUP | HUP | ERR, { onReady });
    const greeted = sendIvshmem(socket.fd, IVSHMEM_VERSION) && sendIvshmem(socket.fd, client.id) &&
      sendIvshmem(socket.fd, IVSHMEM_MEMORY, this.#memory.fd) &&
      others.every((other) => introduce(other, socket.fd)) && introduce(client, socket.fd);
    if (!greeted) return this.#drop(client, "it took no greeting");
    for (const other of others) {
      if (!other.socket.closed && !introduce(client, other.socket.fd)) this.#drop(other, "it does not read");
    }
    this.#onChange(this.peers);
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

  /** A client never says anything: what is readable is its end, or a mistake of its. */
  #hear(fd: number): void {
    const client = this.#clients.get(fd);
    if (client === undefined) return;
    const n = readInto(fd, new Uint8Array(8), 0, 8);
    if (n > 0) this.#drop(client, "it spoke, which no client of this protocol does");
    else if (n === 0 || n === -104) this.#drop(client, "it left");
  }

  /** Drops a client, and those who do not take the news of it. */
  #drop(client: Client, why: string): void {
    const leaving: [Client, string][] = [[client, why]];
    for (const [who, reason] of leaving) { // grows while it is walked
      if (!this.#forget(who, reason)) continue;
      for (const other of this.#clients.values()) {
        if (!sendIvshmem(other.socket.fd, who.id)) leaving.push([other, "it does not read"]);
      }
    }
    this.#onChange(this.peers);
  }

  #forget(client: Client, why: string): boolean {
    if (client.socket.closed) return false;
    this.#log.info("a client is gone", { socket: this.socketPath, peer: client.id, why });
    this.#clients.delete(client.socket.fd);
    this.#registrar?.unwatch(client.socket.fd);
    for (const bell of client.bells) bell[Symbol.dispose]();
    client.socket.close();
    return true;
  }

  /** Ends serving: all clients are dropped, the socket's file is removed. Mappings that clients have stay theirs. */
  [Symbol.dispose](): void {
    if (this.#socket.closed) return;
    this.#registrar?.unwatch(this.listenFd);
    for (const client of [...this.#clients.values()]) this.#drop(client, "the server ends");
    unlinkSocket(this.socketPath);
    this.#socket.close();
    this.#memory.close();
  }
}

/** Tells a client of another, or of itself: one message for each vector. */
function introduce(client: Client, to: number): boolean {
  return client.bells.every((bell) => sendIvshmem(to, client.id, bell.fd));
}
