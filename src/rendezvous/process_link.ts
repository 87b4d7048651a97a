/**
 * The transport between two processes: four doorbells (eventfds), and the socket of the rendezvous, whose
 * hang-up shows that the other end is gone.
 *
 * Waiting uses an edge-triggered epoll that never reads the eventfds: a ring is noticed all the same, and a
 * system call is saved. They are read only to make a descriptor that was given to the program unreadable
 * again ({@linkcode ProcessLink.clear}).
 *
 * "L->C space" can mean the doorbell from L to C, or the one for room in the ring L->C, which C rings. For
 * data both readings are the same. For room both are rung and both are watched, which works with peers of
 * either reading: one more write of 0.3 us, and only when somebody sleeps because a ring is full.
 * @module
 */
import type { Doorbell } from "../../ffi/doorbell.ts";
import type { EventFd } from "../../ffi/event_fd.ts";
import { closeConnection, type OwnedFd } from "../../ffi/owned_fd.ts";
import { ERR, ET, HUP, IN, Poller, RDHUP } from "../../ffi/poller.ts";
import { MS } from "../base/clock.ts";
import type { ChannelFds, ChannelLink } from "../v2v/channel_link.ts";
import type { Role } from "../v2v/region_layout.ts";
import type { MappedRegion } from "./mapped_region.ts";
import { ring } from "./ring_bell.ts";
import { openPollers } from "./link_pollers.ts";

/** The doorbells in the order of RING.md. */
export type Doorbells = readonly [
  listenerData: Doorbell,
  listenerSpace: Doorbell,
  connectorData: Doorbell,
  connectorSpace: Doorbell,
];

/** Another descriptor to be served while a channel sleeps, such as the listening socket. */
export interface SideWatch {
  /** The descriptor, borrowed; undefined once it is closed. */
  readonly fd: number | undefined;
  /** Called when it is readable. */
  readonly serve: () => void;
}

const TAG_BELL = 0;
const TAG_SOCKET = 1;
const TAG_SIDE = 2;
const TAG_WAKE = 3;
const NO_WAIT = 0;
/** Events returned per wait; further ones come with the next. */
const MAX_EVENTS = 8;

/** A transport over eventfds and a socket, all of which it owns. */
export class ProcessLink implements ChannelLink {
  readonly #bells: Doorbells;
  readonly #data: Doorbell;
  readonly #space: readonly [Doorbell, Doorbell];
  readonly #heardData: Doorbell;
  readonly #heardSpace: Doorbell;
  readonly #socket: OwnedFd;
  readonly #region: MappedRegion;
  readonly #side: SideWatch | undefined;
  readonly #sync: Poller;
  readonly #control: Poller;
  readonly #async: Poller;
  readonly #wake: EventFd;
  #waiting: Promise<void> | undefined;
  #gone = false;
  #closed = false;

  /**
   * Takes ownership of what a rendezvous made; if it throws for lack of descriptors, the caller keeps it.
   *
   * @param role which end we are
   * @param bells the four eventfds
   * @param socket the rendezvous' connection
   * @param region the memory, unmapped when the link closes
   * @param side what else to serve while sleeping
   */
  constructor(role: Role, bells: Doorbells, socket: OwnedFd, region: MappedRegion, side?: SideWatch) {
    const listener = role === "listener";
    this.#bells = bells;
    this.#data = bells[listener ? 0 : 2];
    this.#space = [bells[1], bells[3]];
    this.#heardSpace = bells[listener ? 3 : 1];
    this.#heardData = bells[listener ? 2 : 0];
    this.#socket = socket;
    this.#region = region;
    this.#side = side;
    // Everything that it will ever need, so that an established channel does not fail for lack of
    // descriptors.
    using made = new DisposableStack();
    this.#control = made.use(new Poller(1));
    this.#control.add(socket.fd, RDHUP | HUP | ERR, TAG_SOCKET);
    const { sync, async, wake } = openPollers(MAX_EVENTS, TAG_WAKE, (poller) => this.#watch(poller));
    this.#sync = sync;
    this.#async = async;
    this.#wake = wake;
    made.move();
  }

  #watch(poller: Poller): void {
    for (const bell of [this.#heardData, this.#bells[1], this.#bells[3]]) {
      poller.add(bell.fd, IN | ET, TAG_BELL);
    }
    poller.add(this.#control.fd, IN, TAG_SOCKET);
    const side = this.#side?.fd;
    if (side !== undefined) poller.add(side, IN, TAG_SIDE);
  }

  /** See `ChannelLink`. */
  ringData(): boolean {
    return ring(this.#data);
  }

  /** See `ChannelLink`. */
  ringSpace(): boolean {
    const first = ring(this.#space[0]);
    return ring(this.#space[1]) && first;
  }

  /** See `ChannelLink`. */
  wait(timeoutNs: number): void {
    this.#handle(this.#sync, this.#sync.waitNs(this.#gone ? NO_WAIT : timeoutNs));
  }

  /** See `ChannelLink`. All waiters share one sleep. */
  waitAsync(timeoutNs: number): Promise<void> {
    return this.#waiting ??= this.#sleep(timeoutNs).finally(() => this.#waiting = undefined);
  }

  async #sleep(timeoutNs: number): Promise<void> {
    const poller = this.#async;
    const count = await poller.waitAsync(this.#gone ? NO_WAIT : Math.ceil(timeoutNs / MS));
    if (this.#closed) this.#closeAsync();
    else this.#handle(poller, count);
  }

  #handle(poller: Poller, count: number): void {
    for (let i = 0; i < count; i++) {
      if (poller.tag(i) === TAG_SOCKET) this.#gone = true;
      else if (poller.tag(i) === TAG_SIDE) this.#side?.serve();
    }
  }

  /** See `ChannelLink`. */
  peerPresent(look: boolean): boolean {
    if (look && !this.#gone && !this.#closed) this.#gone = this.#control.wait(NO_WAIT) > 0;
    return !this.#gone;
  }

  /** See `ChannelLink`. */
  get fds(): ChannelFds {
    return { receive: this.#heardData.fd, send: this.#heardSpace.fd, control: this.#control.fd };
  }

  /** See `ChannelLink`. */
  clear(which: "receive" | "send"): void {
    const bell = which === "receive" ? this.#heardData : this.#heardSpace;
    bell.hush();
  }

  /** Closes and unmaps everything. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sync[Symbol.dispose]();
    if (this.#waiting === undefined) this.#closeAsync();
    else this.#wake.signal(); // the sleeper closes its own
    this.#control[Symbol.dispose]();
    closeConnection(this.#socket.release());
    for (const bell of this.#bells) bell[Symbol.dispose]();
    this.#region[Symbol.dispose]();
  }

  #closeAsync(): void {
    this.#async[Symbol.dispose]();
    this.#wake[Symbol.dispose]();
  }
}
