/**
 * A channel: two rings, two ends and their states, once it is established: the transport has made the region,
 * the doorbells and the handshake (src/rendezvous).
 *
 * Every wait has a timeout (channel_waits.ts). An end that changes its state without ringing, or whose
 * heartbeat stops, is noticed within a slice of 100 ms; data and room are never waited for by the slice, they
 * ring.
 *
 * Not for several threads at once: one thread uses a channel.
 * @module
 */
import { assert } from "../base/assert.ts";
import { type Clock, MS } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { type Bell, spoiltBell } from "./bell.ts";
import type { ChannelFds, ChannelLink } from "./channel_link.ts";
import { ChannelWaits, type WaitedChannel } from "./channel_waits.ts";
import { type ChannelParts, SLICE_NS, type WaitFor, type WaitOutcome } from "./channel_parts.ts";
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
import { DEFAULT_SPIN_NS, SpinPolicy } from "./spin_policy.ts";

/** An established channel. */
export class Channel implements Disposable, WaitedChannel {
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
  readonly #spinning: SpinPolicy;
  readonly #waits: ChannelWaits;
  #fdsGiven = false;
  #seenState: EndpointState = "connected";
  #fault: Fault | undefined;
  #closed = false;
  #attached: string | undefined;

  /** Puts a channel together of what a transport's handshake gives. */
  constructor(parts: ChannelParts) {
    this.role = parts.role;
    this.region = parts.region;
    this.generation = parts.generation;
    this.#header = parts.header;
    this.#link = parts.link;
    this.#clock = parts.clock;
    const { spinNs = DEFAULT_SPIN_NS, learnsToSpin = true } = parts.tuning ?? {};
    this.#spinning = new SpinPolicy(spinNs, learnsToSpin);
    this.#waits = new ChannelWaits(this, parts.link, parts.clock, this.#spinning);
    const first = { ringAt: RINGS_AT, ringBytes: ringBytes(parts.prodOrder) };
    const second = { ringAt: RINGS_AT + first.ringBytes, ringBytes: ringBytes(parts.consOrder) };
    const listener = parts.role === "listener";
    const blocks = listener
      ? { mineAt: LISTENER_CONTROL_AT, theirsAt: CONNECTOR_CONTROL_AT }
      : { mineAt: CONNECTOR_CONTROL_AT, theirsAt: LISTENER_CONTROL_AT };
    const broken = (fault: Fault): void => this.#crash(fault);
    const dataBell: Bell = { ring: () => this.#rang(this.#link.ringData()), broken };
    const spaceBell: Bell = { ring: () => this.#rang(this.#link.ringSpace()), broken };
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
   * One message, copied out and finished: what to use with an end that is not trusted. Its type and flags
   * stand in `receiver` until the next.
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
   * `receiver.get()`, and when there is nothing: the receive event is cleared and armed, for
   * who waits on {@linkcode fds} himself.
   */
  getMessage(): boolean {
    if (this.receiver.get()) return true;
    if (!this.#fdsGiven) return false;
    this.#link.clear("receive");
    if (this.receiver.armData()) return false;
    return this.receiver.get();
  }

  /**
   * The channel's events as descriptors, for who waits himself; undefined where the transport has none.
   * `receive` is readable when there may be messages, until {@linkcode getMessage} finds none; `send` when
   * there may be room after a "retry", until {@linkcode clearSend}; `control` when the other end may have
   * gone ({@linkcode remoteState}).
   */
  get fds(): ChannelFds | undefined {
    const fds = this.#link.fds;
    this.#fdsGiven = fds !== undefined;
    if (this.#fdsGiven) this.receiver.armData();
    return fds;
  }

  /**
   * Clears the send event, and looks once more.
   *
   * @returns true when it is safe to wait for the descriptor; false when the room is there
   */
  clearSend(): boolean {
    this.#link.clear("send");
    return !this.sender.armSpace();
  }

  /**
   * The state of the other end now. Its death without a goodbye is `crashed`; a word that is not a
   * valid state, `unknown`.
   */
  remoteState(): EndpointState {
    this.#seenState = this.#remote();
    return this.#seenState;
  }

  /** The state of the other end that {@linkcode remoteState} told last. */
  get seenState(): EndpointState {
    return this.#seenState;
  }

  /**
   * {@linkcode remoteState} as the last look or wait saw the transport: it costs no system call, and does not
   * count as told.
   */
  remoteNow(): EndpointState {
    return this.#remote(false);
  }

  #remote(look = true): EndpointState {
    if (this.#fault !== undefined) return "crashed";
    // First whether it is there: an end sets its last state before it goes.
    const present = this.#link.peerPresent(look);
    const state = this.#header.state(this.role === "listener" ? "connector" : "listener");
    // the region has been listened on anew
    if (this.#header.generation !== this.generation) return "disconnected";
    if (present) return state;
    return state === "disconnecting" || state === "disconnected" ? "disconnected" : "crashed";
  }

  /** Whether nothing more is to be expected of the other end than what it has sent. */
  remoteClosing(): boolean {
    return this.#closed || requestsDisconnect(this.#remote());
  }

  /** Asks for low latency: the other end hears of it, and our waits look for a while before they sleep. */
  requestFastReceive(): void {
    this.#spinning.fast = true;
    this.receiver.setFastReceive(true);
  }

  /** The end of {@linkcode requestFastReceive}, however often that was called. */
  cancelFastReceive(): void {
    this.#spinning.fast = false;
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
    return this.#waits.wait(what, this.#deadline(timeoutMs));
  }

  /** Waits while the thread goes on. Its timeout may be late by a slice (100 ms). */
  async waitAsync(what: WaitFor, timeoutMs: number): Promise<WaitOutcome> {
    return await this.#waits.waitAsync(what, this.#deadline(timeoutMs));
  }

  /** One sleep, of 100 ms at most, that any doorbell ends; it asks for none. */
  async pauseAsync(): Promise<void> {
    await this.#link.waitAsync(SLICE_NS);
  }

  /**
   * Ends the channel. A connector is done at once. A listener asks the other end to disconnect first, and
   * waits for it: so that everything sent can still be read, and the region is not taken from under it.
   *
   * @param timeoutMs how long a listener waits
   * @returns "clean", or "timed-out" when the other end did not disconnect; all is given back in either case
   */
  disconnect(timeoutMs = 2000): "clean" | "timed-out" {
    const leftNs = this.#beginDisconnect(timeoutMs);
    for (let ns = leftNs(); ns > 0; ns = leftNs()) this.#link.wait(Math.min(ns, SLICE_NS));
    return this.#finish();
  }

  /** {@linkcode disconnect} while the thread goes on. */
  async disconnectAsync(timeoutMs = 2000): Promise<"clean" | "timed-out"> {
    const leftNs = this.#beginDisconnect(timeoutMs);
    for (let ns = leftNs(); ns > 0; ns = leftNs()) await this.#link.waitAsync(Math.min(ns, SLICE_NS));
    return this.#finish();
  }

  /** Disconnects without waiting for anybody. */
  [Symbol.dispose](): void {
    this.#beginDisconnect(0);
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

  /**
   * A doorbell that is full is a crash: what was sent is in the ring, and nobody honest is there to read it.
   */
  #rang(rung: boolean): void {
    if (!rung && this.#fault === undefined) this.#crash(spoiltBell());
    if (!rung) throw this.#fault;
  }

  /** The other end broke the rules: it hears that we are gone, and our waits end. */
  #crash(fault: Fault): void {
    this.#fault = fault;
    this.#header.setState(this.role, "crashed");
    this.#link.ringData();
    this.#link.ringSpace();
  }

  /** Says goodbye; what is returned tells how long the other end is still to be waited for. */
  #beginDisconnect(timeoutMs: number): () => number {
    if (this.#closed) return () => 0;
    const deadlineNs = this.#deadline(timeoutMs);
    if (this.#fault === undefined) {
      this.#header.setState(this.role, this.role === "listener" ? "disconnecting" : "disconnected");
    }
    this.#link.ringData();
    this.#link.ringSpace();
    return () => this.#closed || this.#hasLeft() ? 0 : deadlineNs - this.#clock.nowNs();
  }

  /** Whether a disconnect has nobody to wait for. */
  #hasLeft(): boolean {
    return this.role === "connector" || requestsDisconnect(this.#remote());
  }

  #finish(): "clean" | "timed-out" {
    if (this.#closed) return "clean";
    const outcome = this.#hasLeft() ? "clean" : "timed-out";
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
    return outcome;
  }
}
