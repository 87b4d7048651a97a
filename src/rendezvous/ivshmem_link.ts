/**
 * The transport of a host process at one end of a channel over ivshmem: the clients' eventfds are the
 * doorbells; the server's messages and the other end's heartbeat show whether it is alive.
 *
 * We must send heartbeats as well: every wait does so, and a timer while the thread's event loop runs. A
 * program that computes for two seconds without either counts as dead for the other end, as specified in
 * RING.md.
 * @module
 */
import type { EventFd } from "../../ffi/event_fd.ts";
import { ET, IN, type Poller } from "../../ffi/poller.ts";
import { type Clock, MS, SECOND } from "../base/clock.ts";
import type { ChannelFds, ChannelLink } from "../v2v/channel_link.ts";
import type { RegionHeader } from "../v2v/region_header.ts";
import type { Role } from "../v2v/region_layout.ts";
import type { IvshmemDevice } from "./ivshmem_device.ts";
import { ring } from "./ring_bell.ts";
import { openPollers } from "./link_pollers.ts";

/** Interval of heartbeats, ms (src/v2v/RING.md). */
const HEARTBEAT_NS: number = 200 * MS;
/** Time without a heartbeat after which an end counts as dead, ms (src/v2v/RING.md). */
const HEARTBEAT_STALE_NS: number = 2 * SECOND;

const TAG_BELL = 0;
const TAG_SERVER = 1;
const TAG_WAKE = 2;
/** Events returned per wait; further ones come with the next. */
const MAX_EVENTS = 8;
// The order in RING.md; for room, both readings of it, as between processes (process_link.ts).
const LISTENER_DATA = 0;
const CONNECTOR_DATA = 2;
const SPACE_VECTORS = [1, 3] as const;

/** A transport over an ivshmem device, which it borrows. */
export class IvshmemLink implements ChannelLink {
  readonly #device: IvshmemDevice;
  readonly #header: RegionHeader;
  readonly #role: Role;
  readonly #other: Role;
  readonly #clock: Clock;
  readonly #vectorBase: number;
  readonly #sync: Poller;
  readonly #async: Poller;
  readonly #wake: EventFd;
  /** The pollers that watch the server's socket. */
  readonly #hearing = new Set<Poller>();
  #waiting: Promise<void> | undefined;
  readonly #timer: ReturnType<typeof setInterval>;
  #peerId = -1;
  #beatAtNs = 0;
  #seenBeat: number;
  #seenAtNs: number;
  #closed = false;

  /**
   * Starts sending heartbeats.
   *
   * @param device the open device, which must outlive the link
   * @param header the region's header
   * @param role which end we are
   * @param vectorBase the listener's first vector
   * @param clock the clock
   */
  constructor(device: IvshmemDevice, header: RegionHeader, role: Role, vectorBase: number, clock: Clock) {
    this.#device = device;
    this.#header = header;
    this.#role = role;
    this.#other = role === "listener" ? "connector" : "listener";
    this.#clock = clock;
    this.#vectorBase = vectorBase;
    const { sync, async, wake } = openPollers(MAX_EVENTS, TAG_WAKE, (poller) => this.#watch(poller));
    this.#sync = sync;
    this.#async = async;
    this.#wake = wake;
    this.#seenBeat = header.heartbeat(this.#other);
    this.#seenAtNs = clock.nowNs();
    this.#timer = setInterval(() => this.#beat(), HEARTBEAT_NS / MS);
    Deno.unrefTimer(Number(this.#timer));
    device.use(this);
    this.#beat();
  }

  #watch(poller: Poller): void {
    for (const bell of this.#device.bells(this.#device.id) ?? []) poller.add(bell.fd, IN | ET, TAG_BELL);
    if (this.#device.serverGone) return;
    poller.add(this.#device.fd, IN, TAG_SERVER);
    this.#hearing.add(poller);
  }

  /** The client whose doorbells are rung: the one that the other end names as itself. */
  meet(peerId: number): void {
    this.#peerId = peerId;
    this.#seenAtNs = this.#clock.nowNs();
  }

  /** See `ChannelLink`. */
  ringData(): boolean {
    return this.#ring(this.#role === "listener" ? LISTENER_DATA : CONNECTOR_DATA);
  }

  /** See `ChannelLink`. */
  ringSpace(): boolean {
    const first = this.#ring(SPACE_VECTORS[0]);
    return this.#ring(SPACE_VECTORS[1]) && first;
  }

  #ring(vector: number): boolean {
    const bell = this.#device.bells(this.#peerId)?.[this.#vectorBase + vector];
    return bell === undefined || ring(bell);
  }

  /** See `ChannelLink`. */
  wait(timeoutNs: number): void {
    this.#beat();
    this.#handle(this.#sync, this.#sync.waitNs(timeoutNs));
  }

  /** See `ChannelLink`. All waiters share one sleep. */
  waitAsync(timeoutNs: number): Promise<void> {
    return this.#waiting ??= this.#sleep(timeoutNs).finally(() => this.#waiting = undefined);
  }

  async #sleep(timeoutNs: number): Promise<void> {
    this.#beat();
    const poller = this.#async;
    const count = await poller.waitAsync(Math.ceil(timeoutNs / MS));
    if (this.#closed) this.#closeAsync();
    else this.#handle(poller, count);
  }

  #handle(poller: Poller, count: number): void {
    for (let i = 0; i < count; i++) {
      if (poller.tag(i) !== TAG_SERVER) continue;
      this.#device.hear();
      if (this.#device.serverGone) this.#unwatchServer();
    }
  }

  /** A server that has ended would end every sleep at once; the channel no longer needs it. */
  #unwatchServer(): void {
    for (const poller of this.#hearing) poller.remove(this.#device.fd);
    this.#hearing.clear();
  }

  /** See `ChannelLink`. */
  peerPresent(look: boolean): boolean {
    if (this.#closed) return false;
    if (look && !this.#device.serverGone) this.#device.hear();
    if (this.#peerId >= 0 && this.#device.bells(this.#peerId) === undefined) return false;
    const nowNs = this.#clock.nowNs();
    const beat = this.#header.heartbeat(this.#other);
    if (beat !== this.#seenBeat) {
      this.#seenBeat = beat;
      this.#seenAtNs = nowNs;
    }
    return nowNs - this.#seenAtNs < HEARTBEAT_STALE_NS;
  }

  #beat(): void {
    const nowNs = this.#clock.nowNs();
    if (this.#closed || nowNs - this.#beatAtNs < HEARTBEAT_NS) return;
    this.#beatAtNs = nowNs;
    this.#header.beat(this.#role);
  }

  /** See `ChannelLink`: none, since data and room arrive on vectors of one epoll here. */
  get fds(): ChannelFds | undefined {
    return undefined;
  }

  /** See `ChannelLink`: nothing to clear. */
  clear(): void {}

  /** Stops sending heartbeats. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#device.unuse(this);
    this.#sync[Symbol.dispose]();
    if (this.#waiting === undefined) this.#closeAsync();
    else this.#wake.signal();
  }

  #closeAsync(): void {
    this.#async[Symbol.dispose]();
    this.#wake[Symbol.dispose]();
  }
}
