/**
 * The listening end between two processes: it holds the prefix's socket, invites who connects, and makes a
 * channel of the first that takes its place in the region.
 *
 * Each invitation has a region of its own with a generation of its own, so that a peer that was invited and
 * left, or was too slow, can never reach the memory of the next. The prefix stays locked while the channel
 * lives: a second connector is told that the listener is busy, a second listener that the prefix is in use.
 *
 * A fault of a connecting peer ends that attempt only, and a shortage of descriptors ends nothing: the peer
 * is told to try again, and so is the caller that waits (ffi/accept_loop.ts).
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

/** How to listen. */
export interface ListenOptions {
  /** Order of the outgoing ring: 4096 << order bytes. 4 (64 KiB) unless told. */
  readonly prodOrder?: number;
  /** Order of the incoming ring. 4 unless told. */
  readonly consOrder?: number;
  /** Who may connect; our own user and root unless told. */
  readonly rule?: PeerRule;
  /** Permission bits of the socket's file; 0o600 unless told. Widen it together with `rule`. */
  readonly socketMode?: number;
  /** How its channels behave. */
  readonly tuning?: ChannelTuning;
  /** Where it tells of what is not a connector's business, such as a lack of descriptors. */
  readonly log?: Log;
  /** The time. */
  readonly clock?: Clock;
}

const DOORBELLS = 4;
/** Order of both rings unless told otherwise. */
export const DEFAULT_ORDER = 4;
/** How long an invited peer may take to take its place. */
const JOIN_NS = 5 * SECOND;
/** How often to look whether it did: a peer need not ring for that. */
const JOIN_SLICE_NS = 2 * MS;
/** Who knocks is taken in such portions, so that a flood of them does not keep an accept or a channel. */
const KNOCKS_A_TURN = 8;
/** States of a connector that took its place, if only to leave again. */
const TOOK_PLACE: ReadonlySet<EndpointState> = new Set(["connected", "disconnecting", "disconnected"]);
const TAG_DOOR = 0;
const TAG_GUEST = 1;

/** Somebody who was invited and has not taken its place yet. */
interface Guest {
  readonly socket: OwnedFd;
  readonly region: MappedRegion;
  readonly header: RegionHeader;
  readonly bells: readonly Doorbell[];
  readonly generation: number;
  readonly deadlineNs: number;
}

/** A prefix that is listened on. */
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
  /**
   * Who knocks, and when to listen again, as one descriptor: an accept watches it, and so does a channel's
   * sleep.
   */
  readonly #door = new PollerRegistrar();
  readonly #accepting: AcceptLoop;
  #toldOfShortage = false;
  #generation = 0;
  #guest: Guest | undefined;
  #channel: Channel | undefined;

  /**
   * Starts to listen: from now on the prefix is ours.
   *
   * @param runtimeDir the runtime directory; its folder `v2v` is made when it is not there
   * @param prefix the channel's name
   * @throws {Fault} `bad-argument` for a prefix or an order that cannot be, `busy` when the prefix is in use
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
   * Waits for a connector, and stops the thread meanwhile.
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
   * Waits for a connector while the thread goes on.
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

  /** A channel, or for how long to wait for one, ns. */
  #attempt(deadlineNs: number, timeoutMs: number): Channel | number {
    const channel = this.#step();
    if (channel !== undefined) return channel;
    const sleepNs = this.#sleepNs(deadlineNs);
    if (sleepNs <= 0) throw this.#timedOut(timeoutMs);
    return sleepNs;
  }

  /** Gives the prefix up. A channel that it made lives on. Not while an asynchronous accept waits. */
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

  /** Everything that can be done without sleeping. */
  #step(): Channel | undefined {
    this.#door.turn();
    const guest = this.#guest;
    if (guest === undefined) return undefined;
    // First whether it is there: a guest that took its place, sent something and left at once was there.
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

  /** What a channel's sleep serves for us: a second connector hears at once that it is one too many. */
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

  /** Takes who knocks: invites the first, sends the others away. */
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

  /** Tells once, until a channel is established, what a connector could not be given. */
  #tellOfShortage(error: unknown): void {
    if (!isShortage(error)) throw error;
    if (this.#toldOfShortage) return;
    this.#toldOfShortage = true;
    this.#log.error("a connector could not be taken in; raise the limit of descriptors (LimitNOFILE)", {
      prefix: this.prefix,
      what: messageOf(error),
    });
  }

  /** Makes all that a guest needs, or nothing; the socket is the guest's when this returns. */
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

  /** Forgets who was invited; its region is never used again. */
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
