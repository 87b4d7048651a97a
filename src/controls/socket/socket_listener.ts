/**
 * The control socket's listener: accepts peers, asks who they are, waits for their HELLO, and puts them on
 * the bus or refuses them.
 *
 * Who they are is known when they have connected (SO_PEERCRED), and asked there and then: a peer of a user
 * that no rule admits is told so and closed, and costs nothing more. Whoever may come in has five seconds for
 * its HELLO; while it says nothing it costs one descriptor, a deadline and one of its user's places for
 * pending peers. There are some more places, for pending peers and on the bus, for root and the daemon's own
 * user.
 *
 * What is logged of those that do not get in is bounded (refusal_log.ts), and how many are looked at in a
 * second, too (ffi/accept_loop.ts).
 * @module
 */
import { AcceptLoop, type Reception } from "../../../ffi/accept_loop.ts";
import { ReceiveBatch, SendBatch, sendOne } from "../../../ffi/datagram.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { peerCredentials } from "../../../ffi/unix_socket.ts";
import { assert } from "../../base/assert.ts";
import { type ControlId, NO_CONTROL, NO_ENDPOINT } from "../../base/ids.ts";
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
import { principalWords } from "../../base/principal_name.ts";
import { type Subscription, subscriptionOf } from "../../access/subscription.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import type { Core } from "../../core/core.ts";
import { KIND, KIND_MAX } from "../../event/kind.ts";
import { FRAME } from "../../protocol/frame.ts";
import { type Hello, readHello } from "../../protocol/hello.ts";
import { errorFrame, type FrameBytes, refusedFrame, welcomeFrame } from "../../protocol/opening_frame.ts";
import { KINDS_OF_OLD } from "../../protocol/version.ts";
import { receivedDefect, receivedKind } from "../../protocol/received.ts";
import { closeGently } from "./close_gently.ts";
import { RefusalLog } from "./refusal_log.ts";
import type { AdmissionPolicy, Admitted, Peer } from "./admission_port.ts";
import { PendingPeer, type PendingPeerHost } from "./pending_peer.ts";
import { PendingPlaces } from "./pending_places.ts";
import { isHungUp } from "./hung_up.ts";
import { SocketControl, type SocketScratch } from "./socket_control.ts";

export type { AdmissionDecision, AdmissionPolicy, Peer, Refusal } from "./admission_port.ts";

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
  readonly admission: AdmissionPolicy;
  /** How many controls there may be; and as many pending peers beside them. */
  readonly maxControls: number;
  /** Events that may wait for each. */
  readonly queueEvents: number;
}

/** A control on the bus, with who it is. */
export interface SocketMember {
  /** Its process. */
  readonly peer: Peer;
  /** For whom that speaks, "token:alice"; "" for its user itself. */
  readonly as: string;
  /** Its number. */
  readonly id: ControlId;
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
export class SocketListener implements PendingPeerHost {
  readonly #options: SocketListenerOptions;
  readonly #scratch: SocketScratch;
  readonly #places: PendingPlaces;
  readonly #refusalLog: RefusalLog;
  readonly #accepting: AcceptLoop;
  readonly #pending = new Set<PendingPeer>();
  readonly #controls = new Map<SocketControl, SocketMember>();
  #refused = 0;

  /** Starts to listen. */
  constructor(options: SocketListenerOptions) {
    const { loop, log, listener, core } = options;
    this.#options = options;
    this.#places = new PendingPlaces(options.maxControls);
    this.#refusalLog = new RefusalLog(log, loop);
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
        core.faults.contain("descriptor", error, {
          faultAccount: () => ({ name: "a peer that connected" }),
        });
      },
    });
  }

  /** Goes on with another listening socket, borrowed: the path of the one before is gone. */
  listenOn(listener: OwnedFd): void {
    this.#accepting.listenOn(listener);
  }

  /** Controls on the bus by this socket, with who they are. */
  get controls(): ReadonlyMap<SocketControl, SocketMember> {
    return this.#controls;
  }

  /** Peers that have connected and not said HELLO yet. */
  get waiting(): number {
    return this.#pending.size;
  }

  /** Peers that were refused, before or after a HELLO. */
  get refused(): number {
    return this.#refused;
  }

  /** How many times there was no descriptor for a peer. */
  get shortages(): number {
    return this.#accepting.shortages;
  }

  /** A peer said something, or left, before it was let in. Called by its pending. */
  receiveHello(pending: PendingPeer): void {
    const { socket } = pending;
    // One frame only: what a hasty peer sends behind its HELLO stays in the socket for its control.
    const receive = this.#scratch.receiveOne;
    const count = receive.receive(socket.fd);
    if (count === 0) {
      if (!receive.closed) return;
      return isHungUp(socket.fd) ? this.drop(pending) : this.#breach(pending, "short frame");
    }
    const offset = receive.offset(0);
    const defect = receivedDefect(receive, 0);
    receive.closeFds();
    if (defect !== "") return this.#breach(pending, defect);
    if (receivedKind(receive, 0) !== KIND.HELLO) {
      return this.#breach(pending, "the first frame is not a HELLO");
    }
    const start = offset + FRAME.body;
    const body = receive.bytes.slice(start, offset + receive.length(0));
    this.#hello(pending, body);
  }

  /** A pending is done with: its socket is closed. */
  drop(pending: PendingPeer): void {
    closeGently(this.#letGo(pending));
  }

  /** What a peer said could not be dealt with: it is told as much, and closed. */
  fail(pending: PendingPeer): void {
    this.#say(pending.socket, refusedFrame(CODE["protocol-error"], "the HELLO could not be processed"));
    this.drop(pending);
  }

  /** Stops listening; whoever has not said HELLO yet is refused. Controls stay: the core takes them off. */
  close(): void {
    this.#accepting[Symbol.dispose]();
    for (const pending of [...this.#pending]) {
      this.#turnAway(pending, CODE["shutting-down"], "the daemon is stopping");
    }
    this.#refusalLog.close();
  }

  /** Gives the scratch memory back; every control must be gone. */
  dispose(): void {
    this.#scratch.receive[Symbol.dispose]();
    this.#scratch.send[Symbol.dispose]();
    this.#scratch.receiveOne[Symbol.dispose]();
  }

  /** A peer has connected. */
  #receive(socket: OwnedFd, isSpare: boolean): Reception {
    const { admission, loop } = this.#options;
    const peer = peerCredentials(socket.fd);
    const refusal = admission.screen?.(peer);
    if (refusal !== undefined) {
      this.#auditRefusal(peer, refusal.code, refusal.reason);
      return this.#shut(socket, peer, refusal.code, refusal.reason);
    }
    const isPrivileged = admission.isPrivileged?.(peer) === true;
    if (isSpare && !isPrivileged) {
      return this.#shut(socket, peer, CODE.busy, "the daemon has no descriptor left; try again later");
    }
    const why = this.#places.take(peer.uid, isPrivileged);
    if (why !== "") return this.#shut(socket, peer, CODE.busy, why);
    const pending = new PendingPeer(this, socket, peer, loop);
    this.#pending.add(pending);
    const before = this.#refused;
    // Most have said their HELLO already.
    try {
      this.receiveHello(pending);
    } catch (error) {
      this.#options.core.faults.contain("descriptor", error, pending);
    }
    return this.#refused === before ? "kept" : "turned-away";
  }

  /** Tells a peer that gets no place why it is closed. */
  #shut(socket: OwnedFd, peer: Peer, code: Code, reason: string): Reception {
    this.#refused++;
    this.#say(socket, this.#shutFrame(code, reason));
    closeGently(socket);
    this.#refusalLog.refused(peer.uid, { code, reason });
    return "turned-away";
  }

  #lastShut: Shut = { code: CODE.ok, reason: "", frame: new Uint8Array(0) };

  /** The same as before, most of the time: a peer that is turned away comes again. */
  #shutFrame(code: Code, reason: string): FrameBytes {
    const last = this.#lastShut;
    if (last.code === code && last.reason === reason) return last.frame;
    const frame = refusedFrame(code, reason);
    this.#lastShut = { code, reason, frame };
    return frame;
  }

  #hello(pending: PendingPeer, body: Uint8Array): void {
    const reading = readHello(body);
    if (!reading.ok) {
      const code = reading.unsupported ? CODE["not-supported"] : CODE["protocol-error"];
      return this.#turnAway(pending, code, reading.reason);
    }
    const { hello } = reading;
    const { sources, prioMin, endpoints, kinds } = hello;
    // A kind that a peer does not know would be a protocol error to it.
    const subscription = subscriptionOf(sources, prioMin, endpoints, kinds === 0 ? KINDS_OF_OLD : kinds);
    const { admission, maxControls } = this.#options;
    const { peer } = pending;
    const most = maxControls + (admission.isPrivileged?.(peer) === true ? RESERVED_PLACES : 0);
    if (this.#controls.size >= most) {
      return this.#turnAway(pending, CODE.busy, `${maxControls} controls are connected already`);
    }
    // Once more, and for good: the rules may have changed since it connected.
    const decision = admission.admit(peer, hello.as);
    if (!decision.ok || isEmptyGrant(decision.grant)) {
      if (decision.ok) admission.left(peer);
      const code = decision.ok ? CODE["not-admitted"] : decision.code;
      const reason = decision.ok
        ? `${principalWords(peer.uid, hello.as)} has no rights here`
        : decision.reason;
      this.#auditRefusal(peer, code, reason);
      return this.#turnAway(pending, code, reason);
    }
    this.#join(pending, hello, subscription, decision);
  }

  /** Welcomes a peer and puts it on the bus. */
  #join(pending: PendingPeer, hello: Hello, subscription: Subscription, admitted: Admitted): void {
    const { core, loop, log, admission } = this.#options;
    const { grant, queueEvents = this.#options.queueEvents } = admitted;
    const { peer } = pending;
    const socket = this.#letGo(pending);
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
        admission.left(peer);
      },
    });
    const id = core.nextControlId;
    const { principal, as = "", endpoints, sources, caps, arbPrio } = grant;
    assert(as === hello.as, "a control is who it asked to be");
    const welcome = welcomeFrame({
      control: id,
      principal,
      endpoints: maskAnd(endpoints, subscription.endpoints),
      sources: sources & subscription.sources,
      caps,
      arbPrio,
      // Only to a peer that says its own: one from before this key gets the answer that it always got.
      kinds: hello.kinds === 0 ? 0 : KIND_MAX,
      as,
    });
    // Into a fresh socket's empty buffer: it cannot block.
    const sent = this.#say(socket, welcome);
    this.#controls.set(control, { peer, as, id });
    const { id: given } = core.addControl(control, grant);
    assert(given === id, "a control has the number that its WELCOME told");
    // It may have left already; what it sent behind its HELLO is carried out all the same.
    if (sent < 0) control.stopSending();
    core.audit.write({
      principal,
      as: grant.as,
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
      control: NO_CONTROL,
      endpoint: NO_ENDPOINT,
      kind: KIND.REFUSED,
      code,
      detail,
    });
  }

  /** A protocol error before the HELLO: one ERROR, and the socket closes. */
  #breach(pending: PendingPeer, what: string): void {
    this.#refused++;
    this.#say(pending.socket, errorFrame(CODE["protocol-error"], what));
    this.#refusalLog.broke(pending.peer.uid, what);
    this.drop(pending);
  }

  #turnAway(pending: PendingPeer, code: Code, reason: string): void {
    this.#refused++;
    this.#say(pending.socket, refusedFrame(code, reason));
    this.#refusalLog.refused(pending.peer.uid, { code, reason });
    this.drop(pending);
  }

  /** A peer is not pending any more; its socket is the caller's. */
  #letGo(pending: PendingPeer): OwnedFd {
    if (this.#pending.delete(pending)) this.#places.give(pending.peer.uid);
    return pending.release();
  }

  #say(socket: OwnedFd, frame: FrameBytes): number {
    return sendOne(socket.fd, frame, 0, frame.length);
  }
}
