/**
 * The listening end between two processes: owns the prefix's socket, invites peers that connect, and makes a
 * channel with the first one that attaches to its region.
 *
 * Each invitation has its own region with its own generation, so that a peer that was invited and left, or
 * was too slow, can never access the next one's memory. The prefix stays locked during the channel's life: a
 * second connector is told that the listener is busy, a second listener that the prefix is in use.
 *
 * A fault of a connecting peer ends that attempt only, and a lack of descriptors ends nothing: the peer, and
 * the caller that waits, are told to try again (ffi/accept_loop.ts).
 * @module
 */
import { AcceptLoop, isShortage, type Reception } from "../../ffi/accept_loop.ts";
import { monotonicClock } from "../../ffi/clock.ts";
import { sendOne } from "../../ffi/datagram.ts";
import { Doorbell } from "../../ffi/doorbell.ts";
import { addSeals, createMemfd, SEAL } from "../../ffi/memfd.ts";
import { closeConnection, type OwnedFd } from "../../ffi/owned_fd.ts";
import { ERR, ET, HUP, IN, Poller, pollNow, RDHUP } from "../../ffi/poller.ts";
import { listenUnix, peerCredentials, SOCKET, unlinkSocket } from "../../ffi/unix_socket.ts";
import { type Clock, MS, SECOND } from "../base/clock.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { type Log, SILENT } from "../base/log.ts";
import { Channel } from "../v2v/channel.ts";
import { type ChannelTuning, SLICE_NS } from "../v2v/channel_parts.ts";
import type { EndpointState } from "../v2v/endpoint_state.ts";
import { RegionHeader } from "../v2v/region_header.ts";
import { MAX_ORDER, regionBytes } from "../v2v/region_layout.ts";
import { ownUserRule, type PeerRule } from "./admission.ts";
import { encodeInvitation, encodeRefusal } from "./invitation.ts";
import { MappedRegion } from "./mapped_region.ts";
import { PollerRegistrar } from "./poller_registrar.ts";
import { socketFolder, socketPathOf } from "./prefix.ts";
import { type Doorbells, ProcessLink, type SideWatch } from "./process_link.ts";

/** Options of listening. */
export interface ListenOptions {
  /** Order of the outgoing ring: 4096 << order bytes. By default 4 (64 KiB). */
  readonly prodOrder?: number;
  /** Order of the incoming ring. By default 4. */
  readonly consOrder?: number;
  /** Who may connect; by default our own user and root. */
  readonly rule?: PeerRule;
  /** Permission bits of the socket's file; 0o600 by default. To be extended together with `rule`. */
  readonly socketMode?: number;
  /** Options of its channels. */
  readonly tuning?: ChannelTuning;
  /** Logs what does not concern a connector, such as a lack of descriptors. */
  readonly log?: Log;
  /** The clock. */
  readonly clock?: Clock;
}

const DOORBELLS = 4;
/** Default order of both rings. */
export const DEFAULT_ORDER = 4;
/** Time limit for an invited peer to attach, ms. */
const JOIN_NS = 5 * SECOND;
/** Interval at which that is checked, since a peer need not ring for it, ms. */
const JOIN_SLICE_NS = 2 * MS;
/** Connections accepted at a time, so that a flood of them does not block an accept or a channel. */
const KNOCKS_A_TURN = 8;
/** States of a connector that has attached, even if it has left again. */
const TOOK_PLACE: ReadonlySet<EndpointState> = new Set(["connected", "disconnecting", "disconnected"]);
const TAG_DOOR = 0;
const TAG_GUEST = 1;

/** A peer that was invited and has not attached yet. */
interface Guest {
  readonly socket: OwnedFd;
  readonly region: MappedRegion;
  readonly header: RegionHeader;
  readonly bells: readonly Doorbell[];
  readonly generation: number;
  readonly deadlineNs: number;
}

/** A listener on a prefix. */
export class ProcessListener implements Disposable {
  /** The prefix. */
  readonly prefix: string;
  readonly #path: string;
  readonly #prodOrder: number;
  readonly #consOrder: number;
  readonly #rule: PeerRule;
  readonly #clock: Clock;
  readonly #tuning: ChannelTuning;
  readonly #log: Log;
  readonly #socket: OwnedFd;
  readonly #poller = new Poller(8);
  /** Connections and the end of a pause as one descriptor, watched by an accept and by a sleeping channel. */
  readonly #door = new PollerRegistrar();
  readonly #accepting: AcceptLoop;
  #toldOfShortage = false;
  #generation = 0;
  #guest: Guest | undefined;
  #channel: Channel | undefined;

  /**
   * Starts listening, which reserves the prefix.
   *
   * @param runtimeDir the runtime directory; its folder `v2v` is made if necessary
   * @param prefix the channel's name
   * @throws {Fault} `bad-argument` for an invalid prefix or order, `busy` when the prefix is in use
   */
  constructor(runtimeDir: string, prefix: string, options: ListenOptions = {}) {
    this.#path = socketPathOf(runtimeDir, prefix);
    this.prefix = prefix;
    this.#prodOrder = checkOrder(options.prodOrder ?? DEFAULT_ORDER, "outgoing");
    this.#consOrder = checkOrder(options.consOrder ?? DEFAULT_ORDER, "incoming");
    this.#rule = options.rule ?? ownUserRule();
    this.#clock = options.clock ?? monotonicClock;
    this.#tuning = options.tuning ?? {};
    this.#log = options.log ?? SILENT;
    try {
      Deno.mkdirSync(socketFolder(runtimeDir), { recursive: true, mode: 0o755 });
      this.#socket = listenUnix(this.#path, SOCKET.SEQPACKET, {
        mode: options.socketMode ?? 0o600,
        backlog: 8,
      });
    } catch (error) {
      this.#poller[Symbol.dispose]();
      this.#door[Symbol.dispose]();
      throw error;
    }
    this.#accepting = new AcceptLoop({
      host: this.#door,
      listener: this.#socket,
      log: this.#log,
      what: this.#path,
      mostATurn: KNOCKS_A_TURN,
      onPeer: (socket, isSpare) => this.#knock(socket, isSpare),
      onFault: (error) => this.#log.warn("a connector was turned away", { why: messageOf(error) }),
    });
    this.#poller.add(this.#door.fd, IN, TAG_DOOR);
  }

  /**
   * Waits for a connector, blocking the thread.
   *
   * @throws {Fault} `timed-out` when none came
   */
  accept(timeoutMs: number): Channel {
    const deadlineNs = this.#deadline(timeoutMs);
    for (;;) {
      const found = this.#attempt(deadlineNs, timeoutMs);
      if (typeof found !== "number") return found;
      this.#poller.waitNs(found);
    }
  }

  /**
   * Waits for a connector without blocking the thread.
   *
   * @throws {Fault} `timed-out` when none came
   */
  async acceptAsync(timeoutMs: number): Promise<Channel> {
    const deadlineNs = this.#deadline(timeoutMs);
    for (;;) {
      const found = this.#attempt(deadlineNs, timeoutMs);
      if (typeof found !== "number") return found;
      await this.#poller.waitAsync(Math.ceil(found / MS));
    }
  }

  /** A channel, or how long to wait for one, ns. */
  #attempt(deadlineNs: number, timeoutMs: number): Channel | number {
    const channel = this.#step();
    if (channel !== undefined) return channel;
    const sleepNs = this.#sleepNs(deadlineNs);
    if (sleepNs <= 0) throw this.#timedOut(timeoutMs);
    return sleepNs;
  }

  /**
   * Releases the prefix. A channel that was made continues. Must not be called during an asynchronous accept.
   */
  [Symbol.dispose](): void {
    if (this.#socket.closed) return;
    this.#dismiss();
    this.#accepting[Symbol.dispose]();
    this.#poller[Symbol.dispose]();
    this.#door[Symbol.dispose]();
    unlinkSocket(this.#path); // before the close: afterwards the name could be the next listener's
    this.#socket.close();
  }

  #deadline(timeoutMs: number): number {
    if (!(timeoutMs >= 0)) {
      throw new Fault("bad-argument", `Cannot wait for ${timeoutMs} ms: give 0 or more.`);
    }
    if (this.#channel !== undefined && !this.#channel.closed) {
      throw new Fault(
        "busy",
        `Cannot accept on ${this.prefix}: its channel is still in use, disconnect it first.`,
      );
    }
    return this.#clock.nowNs() + timeoutMs * MS;
  }

  #sleepNs(deadlineNs: number): number {
    return Math.min(deadlineNs - this.#clock.nowNs(), this.#guest === undefined ? SLICE_NS : JOIN_SLICE_NS);
  }

  #timedOut(timeoutMs: number): Fault {
    return new Fault(
      "timed-out",
      `Cannot accept on ${this.prefix}: nobody connected within ${timeoutMs} ms.`,
    );
  }

  /** Does everything that is possible without sleeping. */
  #step(): Channel | undefined {
    this.#door.turn();
    const guest = this.#guest;
    if (guest === undefined) return undefined;
    // Attachment first: a peer may have attached, sent something and left at once.
    const gone = this.#isGone(guest);
    if (!TOOK_PLACE.has(guest.header.state("connector"))) {
      if (gone || this.#clock.nowNs() > guest.deadlineNs) this.#dismiss();
      return undefined;
    }
    if (guest.header.connectorGeneration !== guest.generation) {
      this.#dismiss(); // stale: never accepted
      return undefined;
    }
    try {
      return this.#establish(guest);
    } catch (error) {
      this.#dismiss();
      this.#tellOfShortage(error);
      return undefined;
    }
  }

  #isGone(guest: Guest): boolean {
    return pollNow(guest.socket.fd, RDHUP) !== 0;
  }

  #establish(guest: Guest): Channel {
    const bells = guest.bells as unknown as Doorbells;
    const link = new ProcessLink("listener", bells, guest.socket, guest.region, this.#latecomers());
    this.#guest = undefined;
    this.#toldOfShortage = false;
    this.#unwatch(guest);
    guest.header.setState("listener", "connected");
    this.#channel = new Channel({
      role: "listener",
      region: guest.region,
      header: guest.header,
      prodOrder: this.#prodOrder,
      consOrder: this.#consOrder,
      generation: guest.generation,
      link,
      clock: this.#clock,
      tuning: this.#tuning,
    });
    link.ringData();
    link.ringSpace();
    return this.#channel;
  }

  /** What a sleeping channel serves for us: a second connector is refused at once. */
  #latecomers(): SideWatch {
    const { fd } = this.#door;
    const socket = this.#socket;
    return {
      get fd(): number | undefined {
        return socket.closed ? undefined : fd;
      },
      serve: () => {
        if (!socket.closed) this.#door.turn();
      },
    };
  }

  /** Accepts connections: invites the first, refuses the others. */
  #knock(socket: OwnedFd, isSpare: boolean): Reception {
    const peer = peerCredentials(socket.fd);
    if (!this.#rule(peer)) {
      const reason = `user ${peer.uid} is not admitted to ${this.prefix}; ask who runs the listener`;
      return turnAway(socket, "not-admitted", reason);
    }
    if (this.#guest !== undefined || (this.#channel !== undefined && !this.#channel.closed)) {
      const reason =
        `${this.prefix} has a connector already; disconnect that one, or listen on another prefix`;
      return turnAway(socket, "busy", reason);
    }
    if (isSpare) return turnAway(socket, "busy", this.#short());
    try {
      this.#invite(socket);
      return "kept";
    } catch (error) {
      this.#tellOfShortage(error);
      return turnAway(socket, "busy", this.#short());
    }
  }

  #short(): string {
    return `the listener of ${this.prefix} has no descriptors left; try again later`;
  }

  /** Logs once, until a channel is established, what a connector could not be given. */
  #tellOfShortage(error: unknown): void {
    if (!isShortage(error)) throw error;
    if (this.#toldOfShortage) return;
    this.#toldOfShortage = true;
    this.#log.error("a connector could not be taken in; raise the limit of descriptors (LimitNOFILE)", {
      prefix: this.prefix,
      what: messageOf(error),
    });
  }

  /** Makes everything that an invited peer needs, or nothing; the socket belongs to it when this returns. */
  #invite(socket: OwnedFd): void {
    this.#generation = (this.#generation + 1) >>> 0;
    const sizeBytes = regionBytes(this.#prodOrder, this.#consOrder);
    const plan = { generation: this.#generation, prodOrder: this.#prodOrder, consOrder: this.#consOrder };
    const packet = encodeInvitation(plan);
    using file = createMemfd(`v2v-${this.prefix}`, sizeBytes, { sealable: true });
    addSeals(file.fd, SEAL.SHRINK | SEAL.GROW | SEAL.SEAL);
    using made = new DisposableStack();
    const region = made.use(new MappedRegion(file.fd, sizeBytes));
    const header = new RegionHeader(region);
    header.initialise(plan);
    const bells = Doorbell.createAll(DOORBELLS);
    for (const bell of bells) made.use(bell);
    const deadlineNs = this.#clock.nowNs() + JOIN_NS;
    const guest: Guest = { socket, region, header, bells, generation: this.#generation, deadlineNs };
    made.defer(() => this.#unwatch(guest));
    this.#poller.add(socket.fd, RDHUP | HUP | ERR | ET, TAG_GUEST);
    for (const bell of bells) this.#poller.add(bell.fd, IN | ET, TAG_GUEST);
    const sent = sendOne(socket.fd, packet, 0, packet.length, [file.fd, ...bells.map((bell) => bell.fd)]);
    made.move();
    this.#guest = guest;
    if (sent !== packet.length) this.#dismiss(); // gone before it was invited
  }

  #unwatch(guest: Guest): void {
    for (const { fd } of [guest.socket, ...guest.bells]) this.#poller.forget(fd);
  }

  /** Drops the invited peer; its region is never used again. */
  #dismiss(): void {
    const guest = this.#guest;
    if (guest === undefined) return;
    this.#guest = undefined;
    guest.header.setState("listener", "disconnected");
    this.#unwatch(guest);
    for (const bell of guest.bells) bell[Symbol.dispose]();
    closeConnection(guest.socket.release());
    guest.region[Symbol.dispose]();
  }
}

function turnAway(socket: OwnedFd, code: "busy" | "not-admitted", reason: string): Reception {
  const packet = encodeRefusal(code, reason);
  sendOne(socket.fd, packet, 0, packet.length); // one that is gone by now needs no answer
  closeConnection(socket.release());
  return "turned-away";
}

function checkOrder(order: number, which: string): number {
  if (Number.isInteger(order) && order >= 0 && order <= MAX_ORDER) return order;
  throw new Fault(
    "bad-argument",
    `Cannot listen with an order of ${order} for the ${which} ring: use 0 (4 KiB) to ${MAX_ORDER} (1 MiB).`,
  );
}
