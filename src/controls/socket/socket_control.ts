/**
 * A control on a unix socket: frames in, frames out (src/event/PROTOCOL.md). It reads in batches, hands
 * commands to the core, and sends what the core delivers at the end of the turn. It never blocks: what the
 * socket does not take waits in its own bounded queue, and while that queue (or the number of its unanswered
 * commands) is more than half of the bound, it is not read, so that no answer is ever dropped and no other
 * control notices.
 * @module
 */
import type { ReceiveBatch, SendBatch } from "../../../ffi/datagram.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { ERR, HUP, IN, OUT, RDHUP } from "../../../ffi/poller.ts";
import { closeForeignFd, type OwnedFd } from "../../../ffi/owned_fd.ts";
import { assert } from "../../base/assert.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { NO_CONTROL, NO_ENDPOINT } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import { PUBLISHABLE } from "../../access/requirement.ts";
import type { Subscription } from "../../access/subscription.ts";
import type { FdHandler, LoopPort } from "../../core/adapter_port.ts";
import type { FaultAccount } from "../../core/fault_boundary.ts";
import type { Control, ControlHandle } from "../../core/control_port.ts";
import { ERROR } from "../../event/body_layout.ts";
import { DIR } from "../../event/defaults.ts";
import { EventRing } from "../../event/event_ring.ts";
import { fdsOfKind, judgeBody } from "../../event/body_rule.ts";
import { writeText } from "../../event/inline_text.ts";
import { CLASS, KIND, type Kind, kindClass } from "../../event/kind.ts";
import { PRIO } from "../../event/priority.ts";
import { SOURCE } from "../../event/source.ts";
import type { EventPool, PayloadOwner, TransferEvent } from "../../event/transfer_event.ts";
import { bodyBytesOf, decodeFrame, FRAME } from "../../protocol/frame.ts";
import { receivedDefect, receivedKind } from "../../protocol/received.ts";
import { closeGently } from "./close_gently.ts";
import { isHungUp } from "./hung_up.ts";
import { isSoundRing } from "./ring_rule.ts";
import { SendQueue } from "./send_queue.ts";

/** Scratch memory that all socket controls of a loop share: nothing in it outlives a callback. */
export interface SocketScratch {
  /** Takes many frames in one system call. */
  readonly receive: ReceiveBatch;
  /**
   * Takes one frame: recvmmsg with room for more would look for a second one, which costs a quarter of a
   * ping-pong's path.
   */
  readonly receiveOne: ReceiveBatch;
  /** Gives many frames in one system call. */
  readonly send: SendBatch;
}

/** What a socket control is made of. */
export interface SocketControlOptions {
  /** The connected socket, owned by the control from now on. */
  readonly socket: OwnedFd;
  /** What the peer calls itself. */
  readonly name: string;
  /** What the peer wants to receive. */
  readonly subscription: Subscription;
  /** The loop that watches the socket. */
  readonly loop: LoopPort;
  /** Where events come from. */
  readonly pool: EventPool;
  /** Shared memory for sending and receiving. */
  readonly scratch: SocketScratch;
  /** Where protocol errors are told. */
  readonly log: Log;
  /** Events that may wait for it. */
  readonly queueEvents: number;
  /** Called when it is off the bus and its socket is closed. */
  readonly onClosed: (control: SocketControl) => void;
}

const BATCH_EVERY = 8;

/** Closes file descriptors that came with a frame. */
const CLOSE_FDS: PayloadOwner = {
  releasePayload(event: TransferEvent): void {
    for (const fd of event.fds) closeForeignFd(fd);
  },
};

/** Where a control stands. */
type ControlState =
  | "open"
  /** The peer receives nothing more. What it has sent is still read, to the end. */
  | "draining"
  /** It has left the bus; the core closes it at the end of the turn. */
  | "left"
  | "closed";

/** One peer on the control socket, after its HELLO was accepted. */
export class SocketControl implements Control, FdHandler {
  readonly name: string;
  readonly subscription: Subscription;
  readonly #options: SocketControlOptions;
  readonly #fd: number;
  readonly #queue: SendQueue;
  /** Commands that were read but not taken by the core yet: its lane is full by policy. */
  readonly #backlog = new EventRing();
  #handle: ControlHandle | null = null;
  /** Receives since the last full batch was tried; see {@linkcode #chooseBatch}. */
  #singles = 0;
  #interest = IN | RDHUP;
  #wouldBlock = false;
  #state: ControlState = "open";

  /** Makes a control; the core opens it. */
  constructor(options: SocketControlOptions) {
    this.#options = options;
    this.name = options.name;
    this.subscription = options.subscription;
    this.#fd = options.socket.fd;
    this.#queue = new SendQueue(options.queueEvents, options.pool);
  }

  /** How many events wait for it. */
  get queued(): number {
    return this.#queue.count;
  }

  /** Called by the core: it is on the bus. */
  open(handle: ControlHandle): void {
    assert(this.#handle === null && this.#state === "open", "a control is opened once");
    this.#handle = handle;
    this.#queue.chargeTo(handle.account);
    this.#options.loop.watch(this.#fd, this.#interest, this);
  }

  /** The peer receives nothing more: its queue is dropped. What it has sent is still read, to the end. */
  stopSending(): void {
    if (this.#state === "open") this.#state = "draining";
    this.#wouldBlock = false;
    this.#queue.clear();
  }

  /** Called by the core with each event: it waits for the end of the turn. */
  deliver(event: TransferEvent): void {
    if (this.#state !== "open") return;
    // One turn may bring more than the queue holds: a peer that reads must not be disconnected for that.
    if (this.#queue.isHalfFull && !this.#wouldBlock) {
      this.#send();
      if (!this.#isOpen()) return;
    }
    this.#queue.push(event);
    if (!this.#queue.overflowed) return;
    this.#options.log.warn("control closed: its queue is full of urgent events", {
      control: this.name,
      queue_events: this.#options.queueEvents,
      remedy: "read faster, or subscribe to less; [daemon] queue_events makes the queue longer",
    });
    this.#leave("its queue is full of urgent events");
  }

  /** Called by the core at the end of a turn. */
  flush(): void {
    if (this.#hasLeft()) return;
    if (!this.#wouldBlock) this.#send();
    this.#updateInterest();
  }

  /** Called by the core: commands that found no room are handed in again. */
  onRoom(): void {
    this.#drainBacklog();
    this.#updateInterest();
  }

  /** Called by the loop: the socket can be read or written, or the peer is gone. */
  onReady(events: number): void {
    if (this.#hasLeft()) return;
    if ((events & OUT) !== 0) {
      this.#wouldBlock = false;
      this.#send();
    }
    if ((events & (IN | RDHUP | HUP | ERR)) !== 0 && !this.#hasLeft()) {
      // A peer that is gone waits for no answer, and can send no more: what it sent is carried out.
      if ((events & (HUP | ERR)) !== 0) this.stopSending();
      if (this.#mayRead()) this.#receive();
    }
    if (!this.#hasLeft()) this.#updateInterest();
  }

  /** For the log and the audit trail, when serving it threw: see `core/fault_boundary.ts`. */
  faultAccount(): FaultAccount {
    const handle = this.#handle;
    return {
      name: this.name,
      ...handle === null
        ? {}
        : { principal: handle.grant.principal, as: handle.grant.as, control: handle.id },
    };
  }

  /** Called by the loop and the core: serving it threw. It is told, and leaves. */
  onFault(): void {
    try {
      if (!this.#hasLeft()) this.#refuse("fault while it was served");
    } finally {
      this.#leave("a fault while it was served");
    }
  }

  /** Called by the core: it is off the bus. */
  close(_reason: string): void {
    assert(this.#state !== "closed", "a control is closed once");
    this.#state = "closed";
    this.#handle?.account.stopWaiting(this.#wake);
    this.#options.loop.unwatch(this.#fd);
    this.#queue.clear();
    while (this.#backlog.length > 0) this.#backlog.shift().release();
    closeGently(this.#options.socket);
    this.#options.onClosed(this);
  }

  // Methods, because a private getter costs five times as much in V8, at each flush of each control.
  #isOpen(): boolean {
    return this.#state === "open";
  }

  /** Whether it has left the bus, or is closed. */
  #hasLeft(): boolean {
    return this.#state === "left" || this.#state === "closed";
  }

  #mayRead(): boolean {
    if (this.#state === "draining") return true;
    const half = this.#options.queueEvents / 2;
    const isFull = this.#handle?.account.isFull ?? false;
    return !isFull && !this.#queue.isHalfFull && this.#backlog.length === 0 &&
      (this.#handle?.outstanding ?? 0) <= half;
  }

  #receive(): void {
    const receive = this.#chooseBatch();
    const count = receive.receive(this.#fd);
    if (receive.frames > 1) this.#singles = count > 1 ? BATCH_EVERY : 0;
    this.#takeAll(receive, count);
    if (receive.closed && !this.#hasLeft()) this.#lookAgain(receive);
  }

  #takeAll(receive: ReceiveBatch, count: number): void {
    for (let i = 0; i < count && !this.#hasLeft(); i++) this.#take(receive, i);
    receive.closeFds();
  }

  /**
   * "Closed" is the end; or the reset that a peer leaves which did not read all, in front of what it had
   * sent; or an empty packet.
   */
  #lookAgain(receive: ReceiveBatch): void {
    if (!isHungUp(this.#fd)) return this.#refuse("short frame");
    const count = receive.receive(this.#fd);
    if (count > 0) this.#takeAll(receive, count);
    else this.#leave("peer closed");
  }

  /**
   * One frame at a time for a peer that waits for each answer; a batch every few times finds out whether it
   * sends more by now, and then stays.
   */
  #chooseBatch(): ReceiveBatch {
    const { receive, receiveOne } = this.#options.scratch;
    if (this.#singles >= BATCH_EVERY) return receive;
    this.#singles++;
    return receiveOne;
  }

  #take(receive: ReceiveBatch, i: number): void {
    const offset = receive.offset(i);
    const fdCount = receive.fdCount(i);
    const defect = receivedDefect(receive, i);
    if (defect !== "") return this.#refuse(defect);
    const kind = receivedKind(receive, i);
    const way = kindClass(kind);
    if (way === CLASS.HANDSHAKE) return this.#refuse("handshake frame after the handshake");
    if (way === CLASS.UP && !PUBLISHABLE.has(kind)) {
      return this.#refuse("a control may not publish this kind");
    }
    if (fdCount > 0 && fdsOfKind(kind) === 0) return this.#refuse("fds with a kind that takes none");
    const handle = this.#handle;
    assert(handle !== null, "a control that is read is on the bus");
    const event = this.#options.pool.acquire();
    const bodyBytes = bodyBytesOf(receive.view, offset);
    let isCharged = false;
    if (bodyBytes === 0) decodeFrame(event, receive.bytes, receive.view, offset);
    else isCharged = this.#decodeBody(event, kind, receive, offset);
    if (fdCount > 0) {
      const fds: number[] = [];
      for (let k = 0; k < fdCount; k++) fds.push(receive.takeFd(i, k));
      const code = this.#ownFds(handle, event, fds);
      if (code !== CODE.ok) return handle.refuse(event, code);
    } else if (isCharged) handle.account.charge(event);
    if (event.dir === DIR.UP) handle.publish(event);
    else if (this.#backlog.length > 0) this.#backlog.push(event);
    else this.#hand(event);
  }

  /** Hands descriptors to the event that brought them; 0, or the code with which it is refused. */
  #ownFds(handle: ControlHandle, event: TransferEvent, fds: readonly number[]): Code {
    if (event.dir === DIR.DOWN && handle.account.hasRoomForFds(fds.length)) {
      handle.account.chargeWithFds(event, fds);
      return CODE.ok;
    }
    event.own(fds, CLOSE_FDS);
    if (event.dir === DIR.DOWN) return CODE.busy;
    return isSoundRing(event) ? CODE.ok : CODE["bad-argument"];
  }

  /**
   * Decodes a frame with a body. One that its kind does not have is not even copied: the core refuses the
   * command by what the event says of it.
   *
   * @returns whether the body was copied
   */
  #decodeBody(event: TransferEvent, kind: Kind, receive: ReceiveBatch, offset: number): boolean {
    const format = receive.view.getUint8(offset + FRAME.bodyFormat);
    const isSound = judgeBody(kind, format, bodyBytesOf(receive.view, offset)) === CODE.ok;
    decodeFrame(event, receive.bytes, receive.view, offset, isSound);
    return isSound;
  }

  #hand(event: TransferEvent): void {
    if ((this.#handle as ControlHandle).send(event) === "blocked") this.#backlog.unshift(event);
  }

  #drainBacklog(): void {
    while (this.#backlog.length > 0 && !this.#hasLeft()) {
      const event = this.#backlog.shift();
      if ((this.#handle as ControlHandle).send(event) === "blocked") {
        this.#backlog.unshift(event);
        return;
      }
    }
  }

  /** A protocol error: one ERROR, and the socket closes. */
  #refuse(text: string): void {
    const event = this.#options.pool.acquire();
    event.kind = KIND.ERROR;
    event.source = SOURCE.CORE;
    event.dir = DIR.UP;
    event.prio = PRIO.URGENT;
    event.endpoint = NO_ENDPOINT;
    event.origin = this.#handle?.id ?? NO_CONTROL;
    event.tsNs = this.#options.loop.clock.nowNs();
    event.view.setUint32(ERROR.at.code, CODE["protocol-error"], true);
    writeText(event.inline, ERROR.at.text, 40, text);
    this.#queue.push(event);
    event.release();
    this.#send();
    this.#handle?.breach(text);
    this.#leave(`protocol error: ${text}`);
  }

  #send(): void {
    if (!this.#isOpen()) return;
    try {
      const outcome = this.#queue.flush(this.#fd, this.#options.scratch.send);
      if (outcome === "would-block") this.#wouldBlock = true;
      else if (outcome === "closed") this.stopSending();
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      this.#options.log.warn("cannot send to a control", { control: this.name, error: error.message });
      this.#leave("sending to it failed");
    }
  }

  #updateInterest(): void {
    if (this.#hasLeft()) return;
    if (this.#handle?.account.isFull === true) this.#handle.account.wait(this.#wake);
    const interest = (this.#mayRead() ? IN | RDHUP : 0) | (this.#wouldBlock ? OUT : 0);
    if (interest === this.#interest) return;
    this.#interest = interest;
    this.#options.loop.rewatch(this.#fd, interest);
  }

  /** Its principal's commands take less memory again. */
  readonly #wake = (): void => this.#updateInterest();

  #leave(reason: string): void {
    if (this.#hasLeft()) return;
    this.#state = "left";
    // Not watched any more: a hung-up socket would wake the loop until the reap.
    this.#options.loop.unwatch(this.#fd);
    this.#handle?.leave(reason);
  }
}
