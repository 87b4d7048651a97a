/**
 * A channel: two rings, two ends, their states, and the waits. What header 004 calls v2v_channel, once it is
 * established: the transport has made the region, the doorbells and the handshake (src/rendezvous).
 *
 * Every wait has a timeout. A sleep is cut into slices, so that an end that changes its state without ringing, or whose
 * heartbeat stops, is noticed within one of them; data and room are never waited for by the slice, they ring.
 *
 * Not for several threads at once: one thread uses a channel (the header asks its callers to lock, too).
 * @module
 */
import { assert } from "../base/assert.ts";
import { type Clock, MS } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import type { Bell } from "./bell.ts";
import type { ChannelLink } from "./channel_link.ts";
import { type EndpointState, requestsDisconnect } from "./endpoint_state.ts";
import { Receiver } from "./receiver.ts";
import type { RegionHeader } from "./region_header.ts";
import {
  CONNECTOR_CONTROL_AT,
  LISTENER_CONTROL_AT,
  ringBytes,
  RINGS_AT,
  type Role,
} from "./region_layout.ts";
import { Sender } from "./sender.ts";
import type { SharedRegion } from "./shared_region.ts";

/** How a wait ended: what was waited for is there; the time is over; the other end is going or gone. */
export type WaitOutcome = "ready" | "timed-out" | "closed";
/** What can be waited for; "any" is a message, or the room that a prepare() was refused. */
export type WaitFor = "receive" | "send" | "any" | "control";

/** How a channel behaves towards its user. */
export interface ChannelTuning {
  /** How long a wait looks before it sleeps, in fast-receive mode, ns. */
  readonly spinNs?: number;
}

/** What a channel is made of. */
export interface ChannelParts {
  /** Which end we are. */
  readonly role: Role;
  /** The memory. */
  readonly region: SharedRegion;
  /** Its head, laid out and checked. */
  readonly header: RegionHeader;
  /** Order of the ring from the listener to the connector. */
  readonly prodOrder: number;
  /** Order of the other one. */
  readonly consOrder: number;
  /** The generation that both ends agreed on. */
  readonly generation: number;
  /** The transport. */
  readonly link: ChannelLink;
  /** The time. */
  readonly clock: Clock;
  /** How it behaves. */
  readonly tuning?: ChannelTuning;
}

/** A sleep is looked up from at least this often, for what nobody rings for. */
export const SLICE_NS: number = 100 * MS;
/** How long a wait looks before it sleeps when fast receive is on, unless told otherwise. */
export const DEFAULT_SPIN_NS = 50_000;
/** How long a wait looks when the other end says that it is in the middle of a batch. */
const BATCH_SPIN_NS = 5_000;
const LOOKS_PER_CLOCK = 32;

/** An established channel. */
export class Channel implements Disposable {
  /** Which end this is. */
  readonly role: Role;
  /** The outgoing ring: prepare, send. */
  readonly sender: Sender;
  /** The incoming ring: get, finish. */
  readonly receiver: Receiver;
  /** The generation that both ends agreed on. */
  readonly generation: number;
  /** The region's memory, for payloads read in place at `receiver.payloadAt`. */
  readonly region: SharedRegion;

  readonly #header: RegionHeader;
  readonly #link: ChannelLink;
  readonly #clock: Clock;
  readonly #spinNs: number;
  #fast = false;
  #fdsGiven = false;
  #seenState: EndpointState = "connected";
  #fault: Fault | undefined;
  #closed = false;
  #attached: string | undefined;

  /**
   * Puts a channel together; the handshake is over by then.
   *
   * @param parts what a transport's handshake gives
   */
  constructor(parts: ChannelParts) {
    this.role = parts.role;
    this.region = parts.region;
    this.generation = parts.generation;
    this.#header = parts.header;
    this.#link = parts.link;
    this.#clock = parts.clock;
    this.#spinNs = parts.tuning?.spinNs ?? DEFAULT_SPIN_NS;
    const first = { ringAt: RINGS_AT, ringBytes: ringBytes(parts.prodOrder) };
    const second = { ringAt: RINGS_AT + first.ringBytes, ringBytes: ringBytes(parts.consOrder) };
    const listener = parts.role === "listener";
    const blocks = listener
      ? { mineAt: LISTENER_CONTROL_AT, theirsAt: CONNECTOR_CONTROL_AT }
      : { mineAt: CONNECTOR_CONTROL_AT, theirsAt: LISTENER_CONTROL_AT };
    const broken = (fault: Fault): void => this.#crash(fault);
    const dataBell: Bell = { ring: () => this.#link.ringData(), broken };
    const spaceBell: Bell = { ring: () => this.#link.ringSpace(), broken };
    this.sender = new Sender(parts.region, { ...blocks, ...(listener ? first : second) }, dataBell);
    this.receiver = new Receiver(parts.region, { ...blocks, ...(listener ? second : first) }, spaceBell);
    this.#seenState = this.#remote();
  }

  /** The clock of its waits. */
  get clock(): Clock {
    return this.#clock;
  }

  /** Whether this end was disconnected. */
  get closed(): boolean {
    return this.#closed;
  }

  /** What the other end did wrong, if it did: the channel is crashed then. */
  get fault(): Fault | undefined {
    return this.#fault;
  }

  /**
   * One message, sent at once: copied in, made visible, rung for.
   *
   * @throws {Fault} `too-large`, `bad-argument`, `protocol-error`
   */
  sendMessage(payload: Uint8Array, type = 0, flags = 0): "ok" | "retry" {
    if (this.sender.prepareCopy(payload, type, flags) === "retry") return "retry";
    this.sender.send();
    return "ok";
  }

  /**
   * One message, copied out and finished: what to use with an end that is not trusted. Its type and flags stand in
   * `receiver` until the next.
   *
   * @returns its bytes, or undefined when there is none
   * @throws {Fault} `protocol-error`
   */
  receiveMessage(): Uint8Array<ArrayBuffer> | undefined {
    if (!this.getMessage()) return undefined;
    const payload = new Uint8Array(this.receiver.payloadBytes);
    this.receiver.copyPayload(payload);
    this.receiver.finish();
    return payload;
  }

  /**
   * `receiver.get()`, and when there is nothing: the receive event is cleared and armed, as header 004 has it, for who
   * waits on {@linkcode receiveFd} himself.
   */
  getMessage(): boolean {
    if (this.receiver.get()) return true;
    if (!this.#fdsGiven) return false;
    this.#link.clear("receive");
    if (this.receiver.armData()) return false;
    return this.receiver.get();
  }

  /**
   * The receive event as a descriptor: readable when there may be messages; {@linkcode getMessage} clears it when there
   * are none. undefined where the transport has none.
   */
  get receiveFd(): number | undefined {
    return this.#giveFds()?.receive;
  }

  /**
   * The send event as a descriptor: readable when there may be room again after a "retry". {@linkcode clearSend} clears
   * it.
   */
  get sendFd(): number | undefined {
    return this.#giveFds()?.send;
  }

  /** The control event as a descriptor: readable when the other end may have gone; see {@linkcode remoteState}. */
  get controlFd(): number | undefined {
    return this.#giveFds()?.control;
  }

  /**
   * Clears the send event, and looks once more.
   *
   * @returns true when it is safe to wait for {@linkcode sendFd}; false when the room is there
   */
  clearSend(): boolean {
    this.#link.clear("send");
    return !this.sender.armSpace();
  }

  #giveFds(): ReturnType<() => ChannelLink["fds"]> {
    this.#fdsGiven = this.#link.fds !== undefined;
    if (this.#fdsGiven) this.receiver.armData();
    return this.#link.fds;
  }

  /** The state of the other end now. Its death without a goodbye is `crashed`; a word that is no state, `unknown`. */
  remoteState(): EndpointState {
    this.#seenState = this.#remote();
    return this.#seenState;
  }

  #remote(look = true): EndpointState {
    if (this.#fault !== undefined) return "crashed";
    // First whether it is there: an end sets its last state before it goes.
    const present = this.#link.peerPresent(look);
    const state = this.#header.state(this.role === "listener" ? "connector" : "listener");
    if (this.#header.generation !== this.generation) return "disconnected"; // the region has been listened on anew
    if (present) return state;
    return state === "disconnecting" || state === "disconnected" ? "disconnected" : "crashed";
  }

  /** Whether nothing more is to be expected of the other end than what it has sent. */
  remoteClosing(): boolean {
    return this.#closed || requestsDisconnect(this.#remote());
  }

  /** Asks for low latency: the other end hears of it, and our waits look for a while before they sleep. */
  requestFastReceive(): void {
    this.#fast = true;
    this.receiver.setFastReceive(true);
  }

  /** The end of {@linkcode requestFastReceive}, however often that was called. */
  cancelFastReceive(): void {
    this.#fast = false;
    this.receiver.setFastReceive(false);
  }

  /** Waits for a message. "closed" comes only when the other end is going and nothing is left to read. */
  waitReceive(timeoutMs: number): WaitOutcome {
    return this.wait("receive", timeoutMs);
  }

  /** Waits for the room that the last prepare() was refused. Send what is prepared first. */
  waitSend(timeoutMs: number): WaitOutcome {
    return this.wait("send", timeoutMs);
  }

  /** Waits until {@linkcode remoteState} would answer something else than it last did. */
  waitControl(timeoutMs: number): WaitOutcome {
    return this.wait("control", timeoutMs);
  }

  /** Waits, and stops the thread meanwhile. */
  wait(what: WaitFor, timeoutMs: number): WaitOutcome {
    const deadlineNs = this.#deadline(timeoutMs);
    let outcome = this.#lookup(what) ?? this.#spin(what, deadlineNs);
    while (outcome === undefined) {
      const leftNs = deadlineNs - this.#clock.nowNs();
      if (leftNs <= 0) return "timed-out";
      outcome = this.#arm(what);
      if (outcome !== undefined) break;
      this.#link.wait(Math.min(leftNs, SLICE_NS));
      outcome = this.#lookup(what);
    }
    return outcome;
  }

  /** Waits while the thread goes on. Its timeout may be late by a slice (100 ms). */
  async waitAsync(what: WaitFor, timeoutMs: number): Promise<WaitOutcome> {
    const deadlineNs = this.#deadline(timeoutMs);
    let outcome = this.#lookup(what);
    while (outcome === undefined) {
      const leftNs = deadlineNs - this.#clock.nowNs();
      if (leftNs <= 0) return "timed-out";
      outcome = this.#arm(what);
      if (outcome !== undefined) break;
      await this.#link.waitAsync(Math.min(leftNs, SLICE_NS));
      outcome = this.#lookup(what);
    }
    return outcome;
  }

  /** One sleep, of 100 ms at most, that any doorbell ends; it asks for none. */
  async pauseAsync(): Promise<void> {
    await this.#link.waitAsync(SLICE_NS);
  }

  /**
   * Ends the channel. A connector is done at once. A listener asks the other end to disconnect first, and waits for it:
   * so that everything sent can still be read, and the region is not taken from under it.
   *
   * @param timeoutMs how long a listener waits
   * @returns "clean", or "timed-out" when the other end did not disconnect; all is given back in either case
   */
  disconnect(timeoutMs = 2000): "clean" | "timed-out" {
    if (this.#closed) return "clean";
    const gone = this.#beginDisconnect();
    const deadlineNs = this.#deadline(timeoutMs);
    let outcome: "clean" | "timed-out" = "clean";
    while (!gone() && outcome === "clean") {
      const leftNs = deadlineNs - this.#clock.nowNs();
      if (leftNs <= 0) outcome = "timed-out";
      else this.#link.wait(Math.min(leftNs, SLICE_NS));
    }
    this.#finish();
    return outcome;
  }

  /** {@linkcode disconnect} while the thread goes on. */
  async disconnectAsync(timeoutMs = 2000): Promise<"clean" | "timed-out"> {
    if (this.#closed) return "clean";
    const gone = this.#beginDisconnect();
    const deadlineNs = this.#deadline(timeoutMs);
    let outcome: "clean" | "timed-out" = "clean";
    while (!gone() && outcome === "clean") {
      const leftNs = deadlineNs - this.#clock.nowNs();
      if (leftNs <= 0) outcome = "timed-out";
      else await this.#link.waitAsync(Math.min(leftNs, SLICE_NS));
    }
    this.#finish();
    return outcome;
  }

  /** Disconnects without waiting for anybody. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#beginDisconnect();
    this.#finish();
  }

  /** Marks the channel as used by a layer that consumes all its messages, such as a stream. */
  attach(by: string): void {
    if (this.#attached !== undefined) {
      throw new Fault(
        "busy",
        `Cannot attach a ${by}: a ${this.#attached} is attached to this channel, detach it first.`,
      );
    }
    this.#attached = by;
  }

  /** The end of {@linkcode attach}. */
  detach(): void {
    assert(this.#attached !== undefined, "what is detached was attached");
    this.#attached = undefined;
  }

  #deadline(timeoutMs: number): number {
    if (Number.isNaN(timeoutMs) || timeoutMs < 0) {
      throw new Fault(
        "bad-argument",
        `Cannot wait for ${timeoutMs} ms: give a time of 0 or more, or Infinity.`,
      );
    }
    if (this.#closed) {
      throw new Fault("bad-argument", "Cannot wait on a channel that was disconnected: make a new one.");
    }
    return this.#clock.nowNs() + timeoutMs * MS;
  }

  /** Looks whether a wait is over; a look for room asks to be rung, too. */
  #lookup(what: WaitFor): WaitOutcome | undefined {
    if (this.#closed || this.#fault !== undefined) return "closed";
    try {
      const data = what === "receive" || what === "any";
      if (data && this.receiver.pending()) return "ready";
      const remote = this.#remote(false); // a sleep that is not to be ends at once, and has seen it
      if (what === "control") return remote === this.#seenState ? undefined : "ready";
      if (requestsDisconnect(remote)) {
        // Looked at again, behind the goodbye: what was sent before it is seen.
        return data && this.receiver.pending() ? "ready" : "closed";
      }
      if (what === "send" && this.sender.armSpace()) return "ready";
      if (what === "any" && this.sender.wantsRoom && this.sender.armSpace()) return "ready";
    } catch (error) {
      if (error !== this.#fault) throw error;
      return "closed";
    }
    return undefined;
  }

  /** Asks to be rung, and looks once more. */
  #arm(what: WaitFor): WaitOutcome | undefined {
    try {
      if (what === "receive" || what === "any") return this.receiver.armData() ? undefined : "ready";
      return undefined; // a look for room arms; nobody rings for a state
    } catch (error) {
      if (error !== this.#fault) throw error;
      return "closed";
    }
  }

  /** Looks without pause for a bounded time: in fast-receive mode, or while the other end composes a batch. */
  #spin(what: WaitFor, deadlineNs: number): WaitOutcome | undefined {
    const receive = what !== "send";
    const spinNs = this.#fast ? this.#spinNs : receive && this.receiver.peerIsProducing() ? BATCH_SPIN_NS : 0;
    if (spinNs <= 0 || what === "control") return undefined;
    const endNs = Math.min(this.#clock.nowNs() + spinNs, deadlineNs);
    if (receive) this.receiver.setSpinning(true);
    try {
      do {
        for (let i = 0; i < LOOKS_PER_CLOCK; i++) {
          if (receive ? this.receiver.pending() : this.sender.roomReady()) return "ready";
        }
      } while (this.#clock.nowNs() < endNs);
    } catch (error) {
      if (error !== this.#fault) throw error;
      return "closed";
    } finally {
      if (receive) this.receiver.setSpinning(false);
    }
    return undefined;
  }

  /** The other end broke the rules: it hears that we are gone, and our waits end. */
  #crash(fault: Fault): void {
    this.#fault = fault;
    this.#header.setState(this.role, "crashed");
    this.#link.ringData();
    this.#link.ringSpace();
  }

  #beginDisconnect(): () => boolean {
    if (this.#fault === undefined) {
      this.#header.setState(this.role, this.role === "listener" ? "disconnecting" : "disconnected");
    }
    this.#link.ringData();
    this.#link.ringSpace();
    return () => this.role === "connector" || requestsDisconnect(this.#remote());
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#fault === undefined && this.#header.generation === this.generation) {
      this.#header.setState(this.role, "disconnected");
    }
    this.#link.ringData();
    this.#link.ringSpace();
    const over = new Fault("seam-down", "Cannot use a channel that was disconnected: connect anew.");
    this.sender.shut(over);
    this.receiver.shut(over);
    this.#link.close();
  }
}
