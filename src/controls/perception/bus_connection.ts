/**
 * A control's end of the control socket for a thread that waits in poll and has no promises: HELLO, WELCOME,
 * then frames in and out.
 *
 * It is a plain control: what it may see and say, the daemon decides. When the daemon does not take a frame
 * at once, it waits a moment, since nobody else lives on this thread; a daemon that takes nothing for longer
 * is given up.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { EndpointId } from "../../base/ids.ts";
import { monotonicClock } from "../../../ffi/clock.ts";
import { ReceiveBatch, sendOne } from "../../../ffi/datagram.ts";
import { ERRNO } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { IN, OUT, Poller } from "../../../ffi/poller.ts";
import { connectUnix, SOCKET } from "../../../ffi/unix_socket.ts";
import { MS, SECOND } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import {
  HELLO_TIMEOUT_MS,
  INLINE_BYTES,
  MAX_FRAME_BYTES,
  MAX_FRAME_FDS,
  RECEIVE_BATCH,
} from "../../base/limits.ts";
import { oneLine } from "../../base/printable.ts";
import { defaultPrio, DIR } from "../../event/defaults.ts";
import { CLASS, KIND, type Kind, kindClass } from "../../event/kind.ts";
import { PRIO } from "../../event/priority.ts";
import { SOURCE } from "../../event/source.ts";
import { BODY, EventPool, type TransferEvent } from "../../event/transfer_event.ts";
import { encodeFrame } from "../../protocol/frame.ts";
import { helloFrame } from "../../protocol/opening_frame.ts";
import { type FrameListener, handOnReceived } from "../../protocol/received.ts";
import { readRefused } from "../../protocol/welcome.ts";
import type { DescriptorWatch } from "./event_sink.ts";

/** Told about each event; its descriptors are the listener's. */
export type BusListener = FrameListener;

/** Characters of a refusal's words that are told. */
const MOST_REASON = 200;
const SEND_LIMIT_NS = 2 * SECOND;
const SOCKET_TAG = 0;
const BELL_TAG = 1;
const FIRST_WATCH_TAG = 2;

/** Where a connection stands. */
type ConnectionState =
  /** HELLO is unanswered. */
  | "joining"
  | "joined"
  /** The daemon ended it, broke the protocol, or takes nothing; descriptors are still watched. */
  | "lost"
  | "disposed";

/** One connection to the daemon. */
export class BusConnection implements Disposable {
  readonly #socket: OwnedFd;
  readonly #poller = new Poller(64);
  readonly #batch = new ReceiveBatch(RECEIVE_BATCH, MAX_FRAME_BYTES, MAX_FRAME_FDS);
  readonly #pool = new EventPool(4);
  readonly #out = new Uint8Array(MAX_FRAME_BYTES);
  readonly #outView = new DataView(this.#out.buffer);
  readonly #watched = new Map<number, () => void>();
  #nextTag = FIRST_WATCH_TAG;
  #state: ConnectionState = "joining";

  private constructor(socket: OwnedFd, bellFd: number) {
    this.#socket = socket;
    this.#poller.add(socket.fd, IN, SOCKET_TAG);
    if (bellFd >= 0) this.#poller.add(bellFd, IN, BELL_TAG);
  }

  /**
   * Joins the bus.
   *
   * @param path the control socket
   * @param name how the control calls itself
   * @param sources which sources it wants, bit 1 << source
   * @param bellFd an eventfd that ends every wait; -1 for none
   * @param listener told what comes right behind WELCOME: the retained events may be in the same batch
   * @throws {Fault} `unreachable`, `not-admitted` with the daemon's words, `timed-out`
   */
  static open(
    path: string,
    name: string,
    sources: number,
    bellFd: number,
    listener: BusListener,
  ): BusConnection {
    const connection = new BusConnection(connectUnix(path, SOCKET.SEQPACKET), bellFd);
    try {
      connection.#hello(path, name, sources, listener);
      return connection;
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
  }

  /** Whether the daemon has ended the connection. */
  get closed(): boolean {
    return this.#state === "lost" || this.#state === "disposed";
  }

  /**
   * Waits for frames (or the bell) and hands each on.
   *
   * @param untilNs when to come back without any
   */
  turn(untilNs: number, listener: BusListener): void {
    const waitNs = Math.max(0, untilNs - monotonicClock.nowNs());
    const ready = this.#poller.waitNs(waitNs);
    for (let i = 0; i < ready; i++) this.#watched.get(this.#poller.tag(i))?.();
    if (this.closed) return;
    const count = this.#batch.receive(this.#socket.fd);
    const defect = handOnReceived(this.#batch, count, this.#pool, listener);
    if (defect !== "" || this.#batch.closed) this.#lose();
  }

  /** Its socket, borrowed. */
  get fd(): number {
    return this.#socket.fd;
  }

  /**
   * Publishes an UP event of source FRAME.
   *
   * @param inline its inline zone
   * @param fd a descriptor that goes along, borrowed; -1 for none
   * @returns false when the daemon has gone
   */
  publish(kind: Kind, endpoint: EndpointId, inline: Uint8Array, fd: number, body?: Uint8Array): boolean {
    const event = this.#pool.acquire();
    event.kind = kind;
    event.source = SOURCE.FRAME;
    event.dir = DIR.UP;
    event.prio = defaultPrio(kind, false);
    event.endpoint = endpoint as EndpointId;
    event.tsNs = monotonicClock.nowNs();
    assert(inline.length === INLINE_BYTES, "an inline zone is published whole");
    event.inline.set(inline);
    if (fd >= 0) event.fds = [fd];
    if (body !== undefined && body.length > 0) event.setBody(BODY.RAW, body);
    this.#send(event, fd >= 0 ? [fd] : undefined);
    event.release();
    return !this.closed;
  }

  /**
   * Sends a frame whose kind, inline zone, body and descriptors are set already.
   *
   * @param fill fills in a blank event, stamped now, of source FRAME
   * @param fd a descriptor that goes along, borrowed; -1 for none
   */
  send(kind: Kind, endpoint: EndpointId, fd: number, fill: (event: TransferEvent) => void): void {
    const event = this.#pool.acquire();
    event.kind = kind;
    event.source = SOURCE.FRAME;
    event.dir = kindClass(kind) === CLASS.DOWN ? DIR.DOWN : DIR.UP;
    event.prio = defaultPrio(kind, false);
    event.endpoint = endpoint as EndpointId;
    event.tsNs = monotonicClock.nowNs();
    fill(event);
    if (fd >= 0) event.fds = [fd];
    this.#send(event, fd >= 0 ? [fd] : undefined);
    event.release();
  }

  /**
   * Waits for a descriptor as well: `onReady` is called by the {@linkcode turn} that finds it ready.
   *
   * @param fd borrowed until the watch is disposed of
   * @param events epoll's bits
   */
  watch(fd: number, events: number, onReady: () => void): DescriptorWatch {
    assert(this.#state !== "disposed", "descriptors are watched over an open connection");
    const tag = this.#nextTag++;
    this.#poller.add(fd, events, tag);
    this.#watched.set(tag, onReady);
    return {
      wait: (others) => this.#poller.modify(fd, others, tag),
      [Symbol.dispose]: () => {
        if (!this.#watched.delete(tag) || this.#state === "disposed") return;
        this.#poller.forget(fd);
      },
    };
  }

  /** Leaves the bus. */
  [Symbol.dispose](): void {
    assert(this.#state !== "disposed", "a connection is disposed of once");
    this.#state = "disposed";
    this.#watched.clear();
    this.#batch[Symbol.dispose]();
    this.#poller[Symbol.dispose]();
    this.#socket.close();
  }

  #hello(path: string, name: string, sources: number, next: BusListener): void {
    const hello = helloFrame({ name, sources, prioMin: PRIO.NORMAL });
    this.#out.set(hello);
    this.#sendOut(hello.length, undefined);
    // A daemon that does not admit this user says so at once, and closes: its REFUSED is read all the same.
    this.#state = "joining";
    let refused = "";
    const listener: BusListener = {
      onEvent: (answer, fds) => {
        if (this.#state !== "joining") return next.onEvent(answer, fds);
        for (const fd of fds) fd.close();
        if (answer.kind === KIND.WELCOME) this.#state = "joined";
        else if (answer.kind === KIND.REFUSED) refused = textOf(answer);
      },
    };
    const deadlineNs = monotonicClock.nowNs() + HELLO_TIMEOUT_MS * MS;
    while (this.#state === "joining") {
      this.turn(deadlineNs, listener);
      if (refused !== "") throw new Fault("not-admitted", `Cannot join the bus at ${path}: ${refused}`);
      if (this.closed) {
        throw new Fault("unreachable", `Cannot join the bus at ${path}: the daemon closed it`);
      }
      if (monotonicClock.nowNs() >= deadlineNs) {
        throw new Fault("timed-out", `Cannot join the bus at ${path}: the daemon does not answer`);
      }
    }
  }

  #send(event: TransferEvent, fds: readonly number[] | undefined): void {
    if (!this.closed) this.#sendOut(encodeFrame(event, 0, this.#outView, this.#out, 0), fds);
  }

  /** The connection has ended, but is not disposed of yet. */
  #lose(): void {
    if (this.#state !== "disposed") this.#state = "lost";
  }

  /** Sends what stands in `#out`. */
  #sendOut(length: number, fds: readonly number[] | undefined): void {
    const deadlineNs = monotonicClock.nowNs() + SEND_LIMIT_NS;
    for (;;) {
      const sent = sendOne(this.#socket.fd, this.#out, 0, length, fds);
      if (sent >= 0) return;
      if (sent !== -ERRNO.EAGAIN || monotonicClock.nowNs() >= deadlineNs) {
        return this.#lose();
      }
      this.#poller.modify(this.#socket.fd, OUT, SOCKET_TAG);
      this.#poller.waitNs(deadlineNs - monotonicClock.nowNs());
      this.#poller.modify(this.#socket.fd, IN, SOCKET_TAG);
    }
  }
}

/** The words of a REFUSED, as far as they can be read. */
function textOf(event: TransferEvent): string {
  try {
    return oneLine(readRefused(event.bodyView()).reason).slice(0, MOST_REASON) || "refused";
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return error.message;
  }
}
