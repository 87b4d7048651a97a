/**
 * The control socket's door: accepts peers, waits for their HELLO, asks the admission who they are, and puts them on the bus or refuses them. A peer that says nothing for
 * five seconds is closed; while it says nothing it costs one descriptor and a deadline.
 * @module
 */
import { ReceiveBatch, SendBatch, sendOne } from "../../../ffi/datagram.ts";
import { isOsError } from "../../../ffi/os_error.ts";
import { IN } from "../../../ffi/poller.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { acceptUnix, peerCredentials } from "../../../ffi/unix_socket.ts";
import { CODE } from "../../base/codes.ts";
import { MS } from "../../base/clock.ts";
import { MAX_FRAME_BYTES, MAX_FRAME_FDS, RECEIVE_BATCH, SEND_BATCH } from "../../base/limits.ts";
import { messageOf } from "../../base/fault.ts";
import type { Log } from "../../base/log.ts";
import { type Grant, isEmptyGrant } from "../../access/grant.ts";
import type { FdHandler, LoopPort, TimerHandler } from "../../core/adapter_port.ts";
import { NO_ENDPOINT } from "../../core/audit_trail.ts";
import type { Core } from "../../core/core.ts";
import { checkFrame, FRAME } from "../../event/frame.ts";
import { KIND } from "../../event/kind.ts";
import { closeGently } from "./close_gently.ts";
import { Greeter, type GreeterHost } from "./greeter.ts";
import { errorFrame, readHello, refusedFrame, welcomeFrame } from "./handshake.ts";
import { isHungUp } from "./hung_up.ts";
import { SocketControl, type SocketScratch } from "./socket_control.ts";

/** Who is at the door. */
export interface Peer {
  /** Its process. */
  readonly pid: number;
  /** Its user. */
  readonly uid: number;
  /** Its user's primary group. */
  readonly gid: number;
}

/** What the door decides, or why not. */
export type Verdict =
  | { readonly ok: true; readonly grant: Grant }
  | { readonly ok: false; readonly code: number; readonly reason: string };

/** Who is let in, and with which rights: the daemon's policy. */
export interface Doorkeeper {
  /** Asked once a HELLO. */
  admit(peer: Peer): Verdict;
  /** A peer with this uid has left. */
  left(peer: Peer): void;
}

/** What a listener is made of. */
export interface SocketListenerOptions {
  /** The listening socket, borrowed. */
  readonly listener: OwnedFd;
  /** The bus that peers are let onto. */
  readonly core: Core;
  /** The loop that watches the sockets. */
  readonly loop: LoopPort;
  /** Where refusals are told. */
  readonly log: Log;
  /** Who decides. */
  readonly doorkeeper: Doorkeeper;
  /** How many may be in; and how many more may stand at the door. */
  readonly maxControls: number;
  /** Events that may wait for each. */
  readonly queueEvents: number;
}

/** What makes accepting fail for a while, and is nobody's mistake. */
const SHORTAGES = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] as const;

/** Listens on the control socket. */
export class SocketListener implements FdHandler, GreeterHost {
  readonly #options: SocketListenerOptions;
  readonly #scratch: SocketScratch;
  readonly #greeters = new Set<Greeter>();
  readonly #controls = new Map<SocketControl, { readonly peer: Peer; readonly id: number }>();
  #listening: OwnedFd;
  /** Looks at the listener again some time after it had to be left alone for lack of descriptors. */
  readonly #resume: TimerHandler = {
    onTimer: () => this.#options.loop.watch(this.#listening.fd, IN, this),
  };

  /** Starts to listen. */
  constructor(options: SocketListenerOptions) {
    this.#options = options;
    this.#scratch = {
      receive: new ReceiveBatch(RECEIVE_BATCH, MAX_FRAME_BYTES, MAX_FRAME_FDS),
      receiveOne: new ReceiveBatch(1, MAX_FRAME_BYTES, MAX_FRAME_FDS),
      send: new SendBatch(SEND_BATCH, MAX_FRAME_BYTES, MAX_FRAME_FDS),
    };
    this.#listening = options.listener;
    options.loop.watch(options.listener.fd, IN, this);
  }

  /** Goes on with another listening socket, borrowed: the path of the one before is gone. */
  listenOn(listener: OwnedFd): void {
    const { loop } = this.#options;
    loop.disarm(this.#resume);
    loop.unwatch(this.#listening.fd);
    this.#listening = listener;
    loop.watch(listener.fd, IN, this);
  }

  /** Controls on the bus by this door, with who they are. */
  get controls(): ReadonlyMap<SocketControl, { readonly peer: Peer; readonly id: number }> {
    return this.#controls;
  }

  /** Called by the loop: peers stand at the door. */
  onReady(): void {
    // A bounded number a turn: a flood of connects must not hold up those who are in.
    for (let i = 0; i < 64; i++) {
      let socket: OwnedFd | undefined;
      try {
        socket = acceptUnix(this.#listening.fd);
      } catch (error) {
        if (!SHORTAGES.some((name) => isOsError(error, name))) throw error;
        const what = messageOf(error);
        this.#options.log.error("cannot accept; raise the limit of descriptors (LimitNOFILE)", { what });
        this.#pause();
        return;
      }
      if (socket === undefined) return;
      if (this.#greeters.size < this.#options.maxControls) {
        this.#greeters.add(new Greeter(this, socket, this.#options.loop));
      } else {
        this.#say(socket, refusedFrame(CODE.busy, "too many peers have not said HELLO yet"));
        closeGently(socket, this.#scratch.receive);
      }
    }
  }

  /** A peer said something, or left, before it was let in. Called by its greeter. */
  greet(greeter: Greeter, socket: OwnedFd): void {
    // One frame only: what a hasty peer sends behind its HELLO stays in the socket for its control.
    const receive = this.#scratch.receiveOne;
    const count = receive.receive(socket.fd);
    if (count === 0) {
      if (!receive.closed) return;
      return isHungUp(socket.fd) ? this.dismiss(greeter) : this.#breach(greeter, socket, "short frame");
    }
    const offset = receive.offset(0);
    const defect = receive.truncated(0)
      ? "body length does not match"
      : receive.fdsTruncated(0)
      ? "number of fds does not match"
      : checkFrame(receive.view, offset, receive.length(0), receive.fdCount(0));
    receive.closeFds();
    if (defect !== "") return this.#breach(greeter, socket, defect);
    if (receive.view.getUint16(offset + FRAME.kind, true) !== KIND.HELLO) {
      return this.#breach(greeter, socket, "the first frame is no HELLO");
    }
    const start = offset + FRAME.body;
    const body = receive.bytes.slice(start, offset + receive.length(0));
    this.#hello(greeter, socket, body);
  }

  /** A greeter is done with: its socket is closed. */
  dismiss(greeter: Greeter): void {
    this.#greeters.delete(greeter);
    closeGently(greeter.release(), this.#scratch.receive);
  }

  /** Stops listening; whoever has not said HELLO yet is refused. Controls stay: the core takes them off. */
  close(): void {
    const { loop } = this.#options;
    loop.unwatch(this.#listening.fd);
    loop.disarm(this.#resume);
    for (const greeter of [...this.#greeters]) {
      this.#turnAway(greeter, greeter.socket, CODE["shutting-down"], "the daemon stops");
    }
  }

  /** Gives the scratch memory back; every control must be gone. */
  dispose(): void {
    this.#scratch.receive[Symbol.dispose]();
    this.#scratch.send[Symbol.dispose]();
    this.#scratch.receiveOne[Symbol.dispose]();
  }

  #hello(greeter: Greeter, socket: OwnedFd, body: Uint8Array): void {
    const hello = readHello(body);
    if (!hello.ok) {
      const code = hello.unsupported ? CODE["not-supported"] : CODE["protocol-error"];
      return this.#turnAway(greeter, socket, code, hello.reason);
    }
    const { core, loop, log, doorkeeper, maxControls, queueEvents } = this.#options;
    if (this.#controls.size >= maxControls) {
      return this.#turnAway(greeter, socket, CODE.busy, `${maxControls} controls are connected already`);
    }
    const peer = peerCredentials(socket.fd);
    const verdict = doorkeeper.admit(peer);
    if (!verdict.ok || isEmptyGrant(verdict.grant)) {
      const code = verdict.ok ? CODE["not-admitted"] : verdict.code;
      const reason = verdict.ok ? `uid ${peer.uid} has no rights here` : verdict.reason;
      core.audit.write({
        principal: peer.uid,
        control: 0,
        endpoint: NO_ENDPOINT,
        kind: KIND.REFUSED,
        code,
        detail: reason,
      });
      return this.#turnAway(greeter, socket, code, reason);
    }
    this.#greeters.delete(greeter);
    const owned = greeter.release();
    const name = hello.name === "" ? `pid:${peer.pid}` : hello.name;
    const control = new SocketControl({
      socket: owned,
      name,
      subscription: hello.subscription,
      loop,
      pool: core.bus.pool,
      scratch: this.#scratch,
      log,
      queueEvents,
      onClosed: (closed) => {
        this.#controls.delete(closed);
        doorkeeper.left(peer);
      },
    });
    const id = core.nextControlId;
    const welcome = welcomeFrame(id, verdict.grant, hello.subscription);
    // Into a fresh socket's empty buffer: it cannot block.
    const sent = this.#say(owned, welcome);
    this.#controls.set(control, { peer, id });
    core.addControl(control, verdict.grant);
    // It may have left already; what it sent behind its HELLO is carried out all the same.
    if (sent < 0) control.stopSending();
    core.audit.write({
      principal: peer.uid,
      control: id,
      endpoint: NO_ENDPOINT,
      kind: KIND.WELCOME,
      code: CODE.ok,
      detail: `${name} pid ${peer.pid}`,
    });
  }

  /** A protocol error before the HELLO: one ERROR, and the socket closes. */
  #breach(greeter: Greeter, socket: OwnedFd, what: string): void {
    this.#say(socket, errorFrame(CODE["protocol-error"], what));
    this.#options.log.warn("peer broke the protocol before its HELLO", { what });
    this.dismiss(greeter);
  }

  #turnAway(greeter: Greeter, socket: OwnedFd, code: number, reason: string): void {
    this.#say(socket, refusedFrame(code, reason));
    this.#options.log.info("refused", { code, reason });
    this.dismiss(greeter);
  }

  #say(socket: OwnedFd, frame: Uint8Array): number {
    return sendOne(socket.fd, frame as Uint8Array<ArrayBuffer>, 0, frame.length);
  }

  /** Out of descriptors: a listener that stays readable would spin. It is looked at again in a second. */
  #pause(): void {
    const { loop } = this.#options;
    loop.unwatch(this.#listening.fd);
    loop.arm(this.#resume, loop.clock.nowNs() + 1000 * MS);
  }
}
