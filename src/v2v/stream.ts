/**
 * A reliable stream of bytes in both directions over a channel: messages of type 1 carry the bytes, in chunks
 * of any size; record boundaries are not kept.
 *
 * A send that finds the ring full takes in what has arrived meanwhile and keeps it in a queue of its own:
 * otherwise two ends that both send and do not read would wait for each other for ever. The queue is bounded;
 * past it such a send waits, until its timeout.
 *
 * RING.md has no half-close. We add one that others do not notice: an empty message of type 1 with flag 1
 * says "I send no more"; who does not know it reads no bytes from it. Messages of other types are passed over
 * and counted.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { MAX_STREAM_QUEUE_BYTES } from "../base/limits.ts";
import { MS } from "../base/clock.ts";
import type { Channel } from "./channel.ts";
import type { WaitOutcome } from "./channel_parts.ts";
import { MESSAGE_HEADER_BYTES, STREAM_TYPE } from "./region_layout.ts";

/** How a send ended, and how many bytes went. "closed": the other end is going or gone. */
export interface SendResult {
  /** Bytes sent: all of them when the outcome is "done". */
  readonly sent: number;
  /** How it ended. */
  readonly outcome: "done" | "closed" | "timed-out";
}

/** How a receive ended. "closed" only when nothing is left to read. */
export type ReceiveResult =
  | { readonly outcome: "data"; readonly received: number }
  | { readonly outcome: "closed" | "timed-out"; readonly received: 0 };

/** The flag of the empty message that ends a direction. */
const END_FLAG = 1;
/** Messages taken before the time is looked at again. */
const MESSAGES_A_LOOK = 4096;
/** How often a send that is stuck beside a waiting receive looks around. */
const LOOK_MS = 100;
/** What a run answers instead of a time to wait. */
const OVER = -1;
const CLOSED: ReceiveResult = { outcome: "closed", received: 0 };
const TIMED_OUT: ReceiveResult = { outcome: "timed-out", received: 0 };

/** A send or a receive under way. */
interface Run {
  readonly deadlineNs: number;
  /** How its last wait ended. */
  waited: WaitOutcome;
  /** The time is over: it looks once more, and then no more. */
  isLast: boolean;
}

interface SendRun extends Run {
  readonly bytes: Uint8Array;
  sent: number;
  outcome: SendResult["outcome"];
}

interface ReceiveRun extends Run {
  readonly target: Uint8Array;
  result: ReceiveResult;
}

/** A stream, attached to a channel. Use one thread, and one send and one receive at a time. */
export class Stream {
  /** Messages passed over because they were no stream's. */
  foreignMessages = 0;
  /** Whether the other end said that it sends no more, and all before that was read. */
  remoteEnded = false;

  readonly #channel: Channel;
  readonly #chunkBytes: number;
  readonly #fastChunkBytes: number;
  readonly #queue: Uint8Array<ArrayBuffer>[] = [];
  #queuedBytes = 0;
  #headUsed = 0; // bytes taken off the queue's first chunk
  #messageUsed = 0; // bytes taken off the ring's first message
  #endQueued = false;
  #detached = false;
  #receiving = false; // an asynchronous receive waits: what arrives is its

  /**
   * Attaches a stream to a channel; from now on all its messages are the stream's.
   *
   * @throws {Fault} `busy` when one is attached already
   */
  constructor(channel: Channel) {
    channel.attach("stream");
    this.#channel = channel;
    // A quarter of the ring: one chunk is written while the one before it is read.
    this.#chunkBytes = Math.max(64, (channel.sender.maxPayloadBytes >> 1) - MESSAGE_HEADER_BYTES);
    this.#fastChunkBytes = this.#chunkBytes >> 2;
  }

  /** Detaches it. What was received and not read is discarded; the channel stays. */
  detach(): void {
    if (this.#detached) return;
    this.#detached = true;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    if (this.#messageUsed > 0) this.#channel.receiver.finish();
    this.#channel.detach();
  }

  /** Bytes that arrived while we were sending, and wait to be read. */
  get queuedBytes(): number {
    return this.#queuedBytes - this.#headUsed;
  }

  /**
   * Sends all of `bytes`, and stops the thread while the ring is full.
   *
   * @throws {Fault} `bad-argument` after {@linkcode detach}
   */
  send(bytes: Uint8Array, timeoutMs: number): SendResult {
    const run = this.#beginSend(bytes, timeoutMs);
    for (let leftMs = this.#sendOn(run); leftMs >= 0; leftMs = this.#sendOn(run)) {
      run.waited = this.#channel.wait(this.#stuckOn(), leftMs);
    }
    return { sent: run.sent, outcome: run.outcome };
  }

  /** {@linkcode send} while the thread goes on. */
  async sendAsync(bytes: Uint8Array, timeoutMs: number): Promise<SendResult> {
    const run = this.#beginSend(bytes, timeoutMs);
    for (let leftMs = this.#sendOn(run); leftMs >= 0; leftMs = this.#sendOn(run)) {
      run.waited = await this.#waitStuck(leftMs);
    }
    return { sent: run.sent, outcome: run.outcome };
  }

  #beginSend(bytes: Uint8Array, timeoutMs: number): SendRun {
    const deadlineNs = this.#begin(timeoutMs);
    const waited = this.#channel.remoteClosing() ? "closed" : "ready";
    return { bytes, deadlineNs, waited, isLast: false, sent: 0, outcome: "done" };
  }

  /** Sends what fits. How long to wait for room, ms; -1 when it is over. */
  #sendOn(run: SendRun): number {
    while (run.waited === "ready") {
      run.sent = this.#push(run.bytes, run.sent);
      if (run.sent === run.bytes.length) return OVER;
      if (run.isLast) run.waited = "timed-out";
      else {
        const leftMs = this.#leftMs(run.deadlineNs);
        run.isLast = leftMs === 0;
        if (!this.#blocked()) return leftMs;
      }
    }
    run.outcome = run.waited;
    return OVER;
  }

  /** While a receive takes what arrives, a stuck send only looks now and then whether one still does. */
  async #waitStuck(leftMs: number): Promise<WaitOutcome> {
    if (!this.#receiving) return await this.#channel.waitAsync(this.#stuckOn(), leftMs);
    const outcome = await this.#channel.waitAsync("send", Math.min(leftMs, LOOK_MS));
    return outcome === "timed-out" && leftMs > LOOK_MS ? "ready" : outcome;
  }

  /**
   * Receives up to `target.length` bytes. It waits until there are any, and no longer.
   *
   * @throws {Fault} `bad-argument` after {@linkcode detach} or for an empty target, `protocol-error`
   */
  receive(target: Uint8Array, timeoutMs: number): ReceiveResult {
    const run = this.#beginReceive(target, timeoutMs);
    for (let leftMs = this.#receiveOn(run); leftMs >= 0; leftMs = this.#receiveOn(run)) {
      run.waited = this.#channel.wait("receive", leftMs);
    }
    return run.result;
  }

  /** {@linkcode receive} while the thread goes on. */
  async receiveAsync(target: Uint8Array, timeoutMs: number): Promise<ReceiveResult> {
    const run = this.#beginReceive(target, timeoutMs);
    for (let leftMs = this.#receiveOn(run); leftMs >= 0; leftMs = this.#receiveOn(run)) {
      run.waited = await this.#waitData(leftMs);
    }
    return run.result;
  }

  #beginReceive(target: Uint8Array, timeoutMs: number): ReceiveRun {
    const deadlineNs = this.#begin(timeoutMs);
    mustHaveRoom(target);
    return { target, deadlineNs, waited: "ready", isLast: false, result: TIMED_OUT };
  }

  /** Takes what there is. How long to wait for more, ms; -1 when it is over. */
  #receiveOn(run: ReceiveRun): number {
    if (run.waited !== "ready") {
      run.result = run.waited === "closed" ? CLOSED : TIMED_OUT;
      return OVER;
    }
    const received = this.#pull(run.target);
    if (received > 0) run.result = { outcome: "data", received };
    else if (this.remoteEnded) run.result = CLOSED;
    else if (!run.isLast) {
      const leftMs = this.#leftMs(run.deadlineNs);
      run.isLast = leftMs === 0;
      return leftMs;
    }
    // At the last look there was something, but no bytes: timed out, as the run began.
    return OVER;
  }

  async #waitData(leftMs: number): Promise<WaitOutcome> {
    this.#receiving = true;
    try {
      return await this.#channel.waitAsync("receive", leftMs);
    } finally {
      this.#receiving = false;
    }
  }

  /** What can be received without waiting; 0 when nothing is there. */
  tryReceive(target: Uint8Array): number {
    this.#begin(0);
    return this.#pull(target);
  }

  /** Tells the other end that no more comes. It may go on sending. */
  async endAsync(timeoutMs: number): Promise<"done" | "closed" | "timed-out"> {
    const deadlineNs = this.#begin(timeoutMs);
    while (this.#channel.sender.prepare(0, STREAM_TYPE, END_FLAG) === "retry") {
      if (this.#blocked()) continue;
      const outcome = await this.#waitStuck(this.#leftMs(deadlineNs));
      if (outcome !== "ready") return outcome;
    }
    this.#channel.sender.send();
    return "done";
  }

  #begin(timeoutMs: number): number {
    if (this.#detached) {
      throw new Fault("bad-argument", "Cannot use a stream that was detached: attach a new one.");
    }
    return this.#channel.clock.nowNs() + timeoutMs * MS;
  }

  #leftMs(deadlineNs: number): number {
    return Math.max(0, (deadlineNs - this.#channel.clock.nowNs()) / MS);
  }

  /** Puts as much on the ring as fits; how much has been sent by then. */
  #push(bytes: Uint8Array, from: number): number {
    const { sender } = this.#channel;
    const chunkBytes = sender.peerWantsFastWakeup() ? this.#fastChunkBytes : this.#chunkBytes;
    let sent = from;
    while (sent < bytes.length) {
      const wanted = Math.min(bytes.length - sent, chunkBytes);
      const there = sender.bytesAvailable();
      // Less than wanted is taken when it is worth a message; else the ring tells when all of it fits.
      const length = there >= wanted || there < chunkBytes >> 1 ? wanted : there;
      if (sender.prepareCopy(bytes, STREAM_TYPE, 0, sent, length) === "retry") break;
      sender.send();
      sent += length;
    }
    return sent;
  }

  /**
   * The ring out is full: takes in what has arrived, so that the other end can go on, too.
   *
   * @returns whether anything was taken in: then the ring is worth another look before a sleep
   */
  #blocked(): boolean {
    const { receiver } = this.#channel;
    let took = 0;
    // An end that sends empty messages without pause must not hold us here.
    while (took < MESSAGES_A_LOOK && this.#mayTakeIn() && receiver.get()) {
      took++;
      if (receiver.type !== STREAM_TYPE) this.foreignMessages++;
      else if (receiver.flags === END_FLAG && receiver.payloadBytes === 0) this.#endQueued = true;
      else if (receiver.payloadBytes > this.#messageUsed) {
        const chunk = new Uint8Array(receiver.payloadBytes - this.#messageUsed);
        receiver.copyPayload(chunk, 0, this.#messageUsed);
        this.#queue.push(chunk);
        this.#queuedBytes += chunk.length;
      }
      this.#messageUsed = 0;
      receiver.finish();
    }
    return took > 0;
  }

  /** What a stuck send waits for: also for what arrives, since the other end may be stuck on that. */
  #stuckOn(): "any" | "send" {
    return this.#mayTakeIn() ? "any" : "send";
  }

  #mayTakeIn(): boolean {
    return !this.#receiving && this.queuedBytes < MAX_STREAM_QUEUE_BYTES && !this.#endQueued &&
      !this.remoteEnded;
  }

  /** Takes what there is, the queue first, without waiting. */
  #pull(target: Uint8Array): number {
    let received = this.#pullQueue(target);
    if (this.#endQueued) {
      if (this.#queue.length === 0) this.remoteEnded = true;
      return received;
    }
    const { receiver } = this.#channel;
    for (let n = 0; n < MESSAGES_A_LOOK && received < target.length && !this.remoteEnded; n++) {
      if (!receiver.get()) break;
      if (receiver.type !== STREAM_TYPE) {
        this.foreignMessages++;
        receiver.finish();
        continue;
      }
      const length = Math.min(receiver.payloadBytes - this.#messageUsed, target.length - received);
      receiver.copyPayload(target, received, this.#messageUsed, length);
      received += length;
      this.#messageUsed += length;
      if (this.#messageUsed < receiver.payloadBytes) break;
      if (receiver.payloadBytes === 0 && receiver.flags === END_FLAG) this.remoteEnded = true;
      this.#messageUsed = 0;
      receiver.finish();
    }
    return received;
  }

  #pullQueue(target: Uint8Array): number {
    let received = 0;
    while (received < target.length) {
      const chunk = this.#queue[0];
      if (chunk === undefined) break;
      const length = Math.min(chunk.length - this.#headUsed, target.length - received);
      target.set(chunk.subarray(this.#headUsed, this.#headUsed + length), received);
      received += length;
      this.#headUsed += length;
      if (this.#headUsed < chunk.length) break;
      this.#queue.shift();
      this.#queuedBytes -= chunk.length;
      this.#headUsed = 0;
    }
    return received;
  }
}

function mustHaveRoom(target: Uint8Array): void {
  if (target.length === 0) {
    throw new Fault("bad-argument", "Cannot receive into no bytes: give a larger array.");
  }
}
