/**
 * The control socket's door: accepts peers, asks who they are, waits for their HELLO, and puts them on the
 * bus or refuses them.
 *
 * Who they are is known when they have connected (SO_PEERCRED), and asked there and then: a peer of a user
 * that no rule admits is told so and closed, and costs nothing more. Whoever may come in has five seconds for
 * its HELLO; while it says nothing it costs one descriptor, a deadline and one of its user's places at the
 * door. There are some more places, there and on the bus, for root and the daemon's own user.
 *
 * What is told of those that do not get in is bounded (door_log.ts), and how many are looked at in a second,
 * too (ffi/accept_loop.ts).
 * @module
 */
import { AcceptLoop, type Reception } from "../../../ffi/accept_loop.ts";
import { ReceiveBatch, SendBatch, sendOne } from "../../../ffi/datagram.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { peerCredentials } from "../../../ffi/unix_socket.ts";
import { CODE, type Code } from "../../base/codes.ts";
import {
  MAX_FRAME_BYTES,
  MAX_FRAME_FDS,
  MAX_PACKET_FDS,
  RECEIVE_BATCH,
  RESERVED_PLACES,
  SEND_BATCH,
} from "../../base/limits.ts";
import type { Log } from "../../base/log.ts";
import { printable } from "../../base/printable.ts";
import { isEmptyGrant, maskAnd } from "../../access/grant.ts";
import { subscriptionOf } from "../../access/subscription.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import { NO_ENDPOINT } from "../../core/audit_trail.ts";
import type { Core } from "../../core/core.ts";
import { KIND, KIND_MAX } from "../../event/kind.ts";
import { FRAME } from "../../protocol/frame.ts";
import { readHello } from "../../protocol/hello.ts";
import { errorFrame, type FrameBytes, refusedFrame, welcomeFrame } from "../../protocol/opening_frame.ts";
import { receivedDefect, receivedKind } from "../../protocol/received.ts";
import { closeGently } from "./close_gently.ts";
import { DoorLog } from "./door_log.ts";
import type { Doorkeeper, Peer } from "./doorkeeper.ts";
import { Greeter, type GreeterHost } from "./greeter.ts";
import { GreetingPlaces } from "./greeting_places.ts";
import { isHungUp } from "./hung_up.ts";
import { SocketControl, type SocketScratch } from "./socket_control.ts";

export type { Doorkeeper, Peer, Refusal, Verdict } from "./doorkeeper.ts";

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

/** What a peer was last told as it was turned away. */
interface Shut {
  readonly code: Code;
  readonly reason: string;
  readonly frame: FrameBytes;
}

/** Taken in one turn: each may have said its HELLO already, and is put on the bus at once. */
const ACCEPTED_A_TURN = 16;

/** Listens on the control socket. */
export class SocketListener implements GreeterHost {
  readonly #options: SocketListenerOptions;
  readonly #scratch: SocketScratch;
  readonly #places: GreetingPlaces;
  readonly #doorLog: DoorLog;
  readonly #accepting: AcceptLoop;
  readonly #greeters = new Set<Greeter>();
  readonly #controls = new Map<SocketControl, { readonly peer: Peer; readonly id: number }>();
  #refused = 0;

  /** Starts to listen. */
  constructor(options: SocketListenerOptions) {
    const { loop, log, listener, core } = options;
    this.#options = options;
    this.#places = new GreetingPlaces(options.maxControls);
    this.#doorLog = new DoorLog(log, loop);
    // Room for every descriptor that a packet can have: those that there is no room for are closed by the
    // kernel, here, and such a close may wait.
    this.#scratch = {
      receive: new ReceiveBatch(RECEIVE_BATCH, MAX_FRAME_BYTES, MAX_PACKET_FDS),
      receiveOne: new ReceiveBatch(1, MAX_FRAME_BYTES, MAX_PACKET_FDS),
      send: new SendBatch(SEND_BATCH, MAX_FRAME_BYTES, MAX_FRAME_FDS),
    };
    this.#accepting = new AcceptLoop({
      listener,
      host: loop,
      log,
      what: "the control socket",
      mostATurn: ACCEPTED_A_TURN,
      onPeer: (socket, isSpare) => this.#receive(socket, isSpare),
      onFault: (error) => {
        core.barrier.contain("descriptor", error, {
          faultAccount: () => ({ name: "a peer that connected" }),
        });
      },
    });
  }

  /** Goes on with another listening socket, borrowed: the path of the one before is gone. */
  listenOn(listener: OwnedFd): void {
    this.#accepting.listenOn(listener);
  }

  /** Controls on the bus by this door, with who they are. */
  get controls(): ReadonlyMap<SocketControl, { readonly peer: Peer; readonly id: number }> {
    return this.#controls;
  }

  /** Peers that have connected and not said HELLO yet. */
  get waiting(): number {
    return this.#greeters.size;
  }

  /** Peers that were refused, before or after a HELLO. */
  get refused(): number {
    return this.#refused;
  }

  /** How many times there was no descriptor for a peer. */
  get shortages(): number {
    return this.#accepting.shortages;
  }

  /** A peer said something, or left, before it was let in. Called by its greeter. */
  greet(greeter: Greeter): void {
    const { socket } = greeter;
    // One frame only: what a hasty peer sends behind its HELLO stays in the socket for its control.
    const receive = this.#scratch.receiveOne;
    const count = receive.receive(socket.fd);
    if (count === 0) {
      if (!receive.closed) return;
      return isHungUp(socket.fd) ? this.dismiss(greeter) : this.#breach(greeter, "short frame");
    }
    const offset = receive.offset(0);
    const defect = receivedDefect(receive, 0);
    receive.closeFds();
    if (defect !== "") return this.#breach(greeter, defect);
    if (receivedKind(receive, 0) !== KIND.HELLO) {
      return this.#breach(greeter, "the first frame is not a HELLO");
    }
    const start = offset + FRAME.body;
    const body = receive.bytes.slice(start, offset + receive.length(0));
    this.#hello(greeter, body);
  }

  /** A greeter is done with: its socket is closed. */
  dismiss(greeter: Greeter): void {
    closeGently(this.#letGo(greeter));
  }

  /** What a peer said could not be dealt with: it is told as much, and closed. */
  fail(greeter: Greeter): void {
    this.#say(greeter.socket, refusedFrame(CODE["protocol-error"], "the HELLO could not be dealt with"));
    this.dismiss(greeter);
  }

  /** Stops listening; whoever has not said HELLO yet is refused. Controls stay: the core takes them off. */
  close(): void {
    this.#accepting[Symbol.dispose]();
    for (const greeter of [...this.#greeters]) {
      this.#turnAway(greeter, CODE["shutting-down"], "the daemon stops");
    }
    this.#doorLog.close();
  }

  /** Gives the scratch memory back; every control must be gone. */
  dispose(): void {
    this.#scratch.receive[Symbol.dispose]();
    this.#scratch.send[Symbol.dispose]();
    this.#scratch.receiveOne[Symbol.dispose]();
  }

  /** A peer has connected. */
  #receive(socket: OwnedFd, isSpare: boolean): Reception {
    const { doorkeeper, loop } = this.#options;
    const peer = peerCredentials(socket.fd);
    const refusal = doorkeeper.knock?.(peer);
    if (refusal !== undefined) {
      this.#auditRefusal(peer, refusal.code, refusal.reason);
      return this.#shut(socket, peer, refusal.code, refusal.reason);
    }
    const isPrivileged = doorkeeper.isPrivileged?.(peer) === true;
    if (isSpare && !isPrivileged) {
      return this.#shut(socket, peer, CODE.busy, "the daemon has no descriptor left; try again later");
    }
    const why = this.#places.take(peer.uid, isPrivileged);
    if (why !== "") return this.#shut(socket, peer, CODE.busy, why);
    const greeter = new Greeter(this, socket, peer, loop);
    this.#greeters.add(greeter);
    const before = this.#refused;
    // Most have said their HELLO already.
    try {
      this.greet(greeter);
    } catch (error) {
      this.#options.core.barrier.contain("descriptor", error, greeter);
    }
    return this.#refused === before ? "kept" : "turned-away";
  }

  /** Tells a peer that has no place at the door why it is closed. */
  #shut(socket: OwnedFd, peer: Peer, code: Code, reason: string): Reception {
    this.#refused++;
    this.#say(socket, this.#shutFrame(code, reason));
    closeGently(socket);
    this.#doorLog.refused(peer.uid, { code, reason });
    return "turned-away";
  }

  #lastShut: Shut = { code: CODE.ok, reason: "", frame: new Uint8Array(0) };

  /** The one before, most of the time: who is turned away comes again. */
  #shutFrame(code: Code, reason: string): FrameBytes {
    const last = this.#lastShut;
    if (last.code === code && last.reason === reason) return last.frame;
    const frame = refusedFrame(code, reason);
    this.#lastShut = { code, reason, frame };
    return frame;
  }

  #hello(greeter: Greeter, body: Uint8Array): void {
    const reading = readHello(body);
    if (!reading.ok) {
      const code = reading.unsupported ? CODE["not-supported"] : CODE["protocol-error"];
      return this.#turnAway(greeter, code, reading.reason);
    }
    const { hello } = reading;
    const subscription = subscriptionOf(hello.sources, hello.prioMin, hello.endpoints);
    const { core, loop, log, doorkeeper, maxControls, queueEvents } = this.#options;
    const { peer } = greeter;
    const most = maxControls + (doorkeeper.isPrivileged?.(peer) === true ? RESERVED_PLACES : 0);
    if (this.#controls.size >= most) {
      return this.#turnAway(greeter, CODE.busy, `${maxControls} controls are connected already`);
    }
    // Once more, and for good: the rules may have changed since it connected.
    const verdict = doorkeeper.admit(peer);
    if (!verdict.ok || isEmptyGrant(verdict.grant)) {
      if (verdict.ok) doorkeeper.left(peer);
      const code = verdict.ok ? CODE["not-admitted"] : verdict.code;
      const reason = verdict.ok ? `uid ${peer.uid} has no rights here` : verdict.reason;
      this.#auditRefusal(peer, code, reason);
      return this.#turnAway(greeter, code, reason);
    }
    const socket = this.#letGo(greeter);
    const name = hello.name === "" ? `pid:${peer.pid}` : hello.name;
    const control = new SocketControl({
      socket,
      name,
      subscription,
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
    const { principal, endpoints, sources, caps, arbPrio } = verdict.grant;
    const welcome = welcomeFrame({
      control: id,
      principal,
      endpoints: maskAnd(endpoints, subscription.endpoints),
      sources: sources & subscription.sources,
      caps,
      arbPrio,
      // Only to who says its own: a peer of before this key is told what it always was.
      kinds: hello.kinds === 0 ? 0 : KIND_MAX,
    });
    // Into a fresh socket's empty buffer: it cannot block.
    const sent = this.#say(socket, welcome);
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
      detail: `${printable(name)} pid ${peer.pid}`,
    });
  }

  #auditRefusal(peer: Peer, code: Code, detail: string): void {
    this.#options.core.audit.write({
      principal: peer.uid,
      control: 0,
      endpoint: NO_ENDPOINT,
      kind: KIND.REFUSED,
      code,
      detail,
    });
  }

  /** A protocol error before the HELLO: one ERROR, and the socket closes. */
  #breach(greeter: Greeter, what: string): void {
    this.#refused++;
    this.#say(greeter.socket, errorFrame(CODE["protocol-error"], what));
    this.#doorLog.broke(greeter.peer.uid, what);
    this.dismiss(greeter);
  }

  #turnAway(greeter: Greeter, code: Code, reason: string): void {
    this.#refused++;
    this.#say(greeter.socket, refusedFrame(code, reason));
    this.#doorLog.refused(greeter.peer.uid, { code, reason });
    this.dismiss(greeter);
  }

  /** A peer stands at the door no more; its socket is the caller's. */
  #letGo(greeter: Greeter): OwnedFd {
    if (this.#greeters.delete(greeter)) this.#places.give(greeter.peer.uid);
    return greeter.release();
  }

  #say(socket: OwnedFd, frame: FrameBytes): number {
    return sendOne(socket.fd, frame, 0, frame.length);
  }
}
