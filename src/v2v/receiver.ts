/**
 * The receiving half of a ring: get a message, finish it. It reads the other end's producer index and message
 * headers, each exactly once, and checks them before anything is done with them; it never touches a byte
 * outside the ring. Payloads are live memory that the other end can still change: copy them out ({@linkcode
 * Receiver.copyPayload}) unless it is trusted.
 *
 * It never blocks and makes no garbage. Waiting, timeouts and states are the channel's.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { passes } from "./bell.ts";
import { CONTROL, MESSAGE_HEADER_BYTES, PAD_TYPE } from "./region_layout.ts";
import { RingHalf } from "./ring_half.ts";

const CONS = CONTROL.at.cons >> 2;
const PROD_EVENT = CONTROL.at.prodEvent >> 2;
const CONSUMER_ACTIVE = CONTROL.at.consumerActive >> 2;
const CONSUMER_SPINNING = CONTROL.at.consumerSpinning >> 2;
const PEER_PROD = CONTROL.at.prod >> 2;
const PEER_CONS_EVENT = CONTROL.at.consEvent >> 2;
const PEER_PRODUCER_ACTIVE = CONTROL.at.producerActive >> 2;

/** The receiving half of a ring. */
export class Receiver extends RingHalf {
  /** Type of the message that {@linkcode get} found. */
  type = 0;
  /** Its flags. */
  flags = 0;
  /** Offset of its payload in the region. */
  payloadAt = 0;
  /** Length of its payload. */
  payloadBytes = 0;

  // u32 indices, held as int32 and compared by their differences.
  #peerProd = 0; // how far the other end has sent, as last seen
  #next = 0; // what get() looks at
  #released = 0; // how far the other end may overwrite, as published
  #span = 0; // ring bytes of the message that get() found; 0 when none is held
  #kept = false; // messages were passed by advance() and not released

  /**
   * Looks at the next message: its type, flags and payload stand in this object's fields until it is
   * finished. Asked again before {@linkcode finish}, it tells of the same one.
   *
   * @returns false when there is none
   * @throws {Fault} `protocol-error` when the other end wrote what is not a valid message
   */
  get(): boolean {
    if (this.#span !== 0) return true;
    for (;;) {
      const next = this.#next;
      let queued = (this.#peerProd - next) | 0;
      if (queued === 0) {
        this.#look();
        queued = (this.#peerProd - next) | 0;
        if (queued === 0) {
          // Pads alone hold nothing of the caller's: hand them back, the other end may wait for that room.
          if (!this.#kept && next !== this.#released) this.release();
          return false;
        }
      }
      const at = next & this.mask;
      const toEnd = this.ringBytes - at;
      const header = (this.ringAt + at) >> 2;
      const words = this.words;
      const first = words[header] as number;
      const size = (words[header + 1] as number) >>> 0;
      // The order matters: a size near 2^32 must be refused before it is rounded.
      if ((first >>> 16) !== 0 || size < MESSAGE_HEADER_BYTES || size > queued || size > toEnd) {
        this.#malformed(first, size, queued, toEnd);
      }
      const span = (size + 7) & ~7; // both bounds above are multiples of 8: it fits as well
      if ((first & 0xff) === PAD_TYPE) {
        if (size !== toEnd) this.#malformed(first, size, queued, toEnd);
        this.#next = (next + toEnd) | 0;
        continue;
      }
      if (size > this.ringBytes >> 1) this.#malformed(first, size, queued, toEnd);
      this.type = first & 0xff;
      this.flags = (first >>> 8) & 0xff;
      this.payloadAt = this.ringAt + at + MESSAGE_HEADER_BYTES;
      this.payloadBytes = size - MESSAGE_HEADER_BYTES;
      this.#span = span;
      return true;
    }
  }

  /**
   * Copies the payload that {@linkcode get} found, or a part of it.
   *
   * @param target where to
   * @param to from which index of it on
   * @param from from which byte of the payload on
   * @param length how much: by default all that fits
   * @returns how many bytes were copied
   */
  copyPayload(
    target: Uint8Array,
    to = 0,
    from = 0,
    length: number = Math.min(this.payloadBytes - from, target.length - to),
  ): number {
    this.#mustHold("copy a payload");
    if (
      !(to >= 0 && from >= 0 && length >= 0 && to + length <= target.length &&
        from + length <= this.payloadBytes)
    ) {
      throw new Fault(
        "bad-argument",
        "Cannot copy a part of a payload that lies outside of it or of the target.",
      );
    }
    if (length > 0) this.region.copyOut(this.payloadAt + from, target, to, length);
    return length;
  }

  /**
   * Done with the message that {@linkcode get} found: its room, and that of all messages passed before, goes
   * back to the other end, which hears of it if it asked to.
   *
   * @throws {Fault} `bad-argument` when no message was got
   */
  finish(): void {
    this.advance();
    this.release();
  }

  /**
   * Passes the message that {@linkcode get} found but keeps its room: payloads stay where they are until
   * {@linkcode release}. For batches, and for who wants to look at several messages at once.
   */
  advance(): void {
    if (this.#span === 0) this.#mustHold("finish a message");
    this.#next = (this.#next + this.#span) | 0;
    this.#span = 0;
    this.#kept = true;
  }

  /** Gives the room of all passed messages back. */
  release(): void {
    const before = this.#released;
    const now = this.#next;
    this.#kept = false;
    if (now === before) return;
    this.#released = now;
    // release, and the full fence before the threshold is read
    Atomics.store(this.words, this.mine + CONS, now);
    if (passes(before, now, Atomics.load(this.words, this.theirs + PEER_CONS_EVENT))) this.bell.ring();
  }

  /** Whether anything lies behind the messages passed so far (it may prove to be a pad). */
  pending(): boolean {
    if (this.#span !== 0 || this.#peerProd !== this.#next) return true;
    this.#look();
    return this.#peerProd !== this.#next;
  }

  /**
   * Asks to be rung for the next message, and looks once more.
   *
   * @returns true when the ring is still empty: it is safe to sleep
   */
  armData(): boolean {
    if (this.#span !== 0) return false;
    Atomics.store(this.words, this.mine + PROD_EVENT, (this.#peerProd + 1) | 0); // with the full fence
    return !this.pending(); // a message sent before the threshold was visible has rung nobody
  }

  /** Bytes that wait, as last seen, headers and pads included. */
  get queuedBytes(): number {
    return (this.#peerProd - this.#next) >>> 0;
  }

  /** Tells the other end whether we want low latency more than large batches. */
  setFastReceive(on: boolean): void {
    Atomics.store(this.words, this.mine + CONSUMER_ACTIVE, on ? 1 : 0);
  }

  /** Tells the other end whether we are looking without pause. A hint: it may save itself a doorbell. */
  setSpinning(on: boolean): void {
    this.words[this.mine + CONSUMER_SPINNING] = on ? 1 : 0;
  }

  /** Whether the other end says that it is in the middle of a batch. A hint, and from a stranger. */
  peerIsProducing(): boolean {
    return this.words[this.theirs + PEER_PRODUCER_ACTIVE] !== 0;
  }

  /** Ends its use: whatever is asked of it from now on is answered by this fault. */
  override shut(fault: Fault): void {
    this.fault = fault;
    this.#span = 0;
    this.#next = this.#released;
    this.#peerProd = this.#next; // nothing queued: every get() looks, and finds the fault
  }

  /** Reads the other end's index, once, and checks it: it never moves back, nor past what we released. */
  #look(): void {
    if (this.fault !== undefined) throw this.fault;
    const prod = Atomics.load(this.words, this.theirs + PEER_PROD);
    if (prod === this.#peerProd) return;
    const queued = (prod - this.#released) >>> 0;
    if (queued > this.ringBytes || queued < ((this.#peerProd - this.#released) >>> 0) || (prod & 7) !== 0) {
      this.distrust(
        `it says that it sent up to ${prod >>> 0}, after ${this.#peerProd >>> 0}, ` +
          `with ${this.#released >>> 0} consumed in a ring of ${this.ringBytes} bytes`,
      );
    }
    this.#peerProd = prod;
  }

  #mustHold(what: string): void {
    if (this.#span === 0) {
      throw new Fault("bad-argument", `Cannot ${what}: none was got, call get() first.`);
    }
  }

  #malformed(first: number, size: number, queued: number, toEnd: number): never {
    this.distrust(
      `its next message has type ${first & 0xff}, reserved ${first >>> 16} and size ${size}, ` +
        `where ${queued} bytes are queued and ${toEnd} are left to the ring's end`,
    );
  }
}
