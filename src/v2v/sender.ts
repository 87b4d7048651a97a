/**
 * The sending half of a ring: prepare messages, then send the batch. It writes its own control block and its
 * own ring, and reads from the region only the two words that the other end owns: how far it has consumed,
 * and from where on it wants to hear of more. Both are hostile until checked.
 *
 * It never blocks and makes no garbage: a prepared message is told by `payloadAt` and `payloadBytes`, offsets
 * into the region. Waiting, timeouts and states are the channel's.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { type Bell, passes } from "./bell.ts";
import { CONTROL, maxPayloadBytes, MESSAGE_HEADER_BYTES, PAD_TYPE } from "./region_layout.ts";
import { RingHalf, type RingPlace } from "./ring_half.ts";
import type { SharedRegion } from "./shared_region.ts";

const PROD = CONTROL.at.prod >> 2;
const CONS_EVENT = CONTROL.at.consEvent >> 2;
const PRODUCER_ACTIVE = CONTROL.at.producerActive >> 2;
const PEER_CONS = CONTROL.at.cons >> 2;
const PEER_PROD_EVENT = CONTROL.at.prodEvent >> 2;
const PEER_CONSUMER_ACTIVE = CONTROL.at.consumerActive >> 2;

/** The sending half of a ring. */
export class Sender extends RingHalf {
  /** Offset in the region of the payload that was prepared last. */
  payloadAt = 0;
  /** Its length. */
  payloadBytes = 0;
  /** How often {@linkcode prepare} has answered "retry". */
  refusals = 0;
  /** The largest payload that a message may have: half the ring, less the header. */
  readonly maxPayloadBytes: number;

  // u32 indices, held as int32 and compared by their differences.
  #prepared = 0;
  #sent = 0;
  #peerCons = 0;
  #consEvent = 0;
  #batched = 0;
  #wanted = 0;

  /**
   * Takes its place in a region; nothing is read or written yet.
   *
   * @param region the memory
   * @param place where our words and ring are
   * @param bell the doorbell by which the other end hears of data
   */
  constructor(region: SharedRegion, place: RingPlace, bell: Bell) {
    super(region, place, bell);
    this.maxPayloadBytes = maxPayloadBytes(place.ringBytes);
  }

  /**
   * Allocates a message of `bytes` payload bytes; write them at {@linkcode payloadAt}, then {@linkcode send}.
   * Until then the other end is not told (one that misbehaves may look).
   *
   * @returns "retry" when there is no room now; the doorbell for space is armed then and rings when there is
   * @throws {Fault} `too-large` when no ring of this size could ever take it, `bad-argument`,
   *   `protocol-error` when the other end has broken its index
   */
  prepare(bytes: number, type = 0, flags = 0): "ok" | "retry" {
    if (!(bytes >= 0 && bytes <= this.maxPayloadBytes)) this.#refuse(bytes);
    if ((type & 0xff) !== type || (flags & 0xff) !== flags || type === PAD_TYPE) refuseType(type, flags);
    const needed = (bytes + MESSAGE_HEADER_BYTES + 7) & ~7;
    let at = this.#prepared & this.mask;
    const toEnd = this.ringBytes - at;
    const total = needed <= toEnd ? needed : needed + toEnd;
    if (total > this.#room() && !this.#findRoom(total)) {
      this.refusals++;
      return "retry";
    }
    const words = this.words;
    if (needed > toEnd) {
      const pad = (this.ringAt + at) >> 2;
      words[pad] = PAD_TYPE;
      words[pad + 1] = toEnd;
      at = 0;
    }
    const header = (this.ringAt + at) >> 2;
    words[header] = type | (flags << 8);
    words[header + 1] = bytes + MESSAGE_HEADER_BYTES;
    this.payloadAt = this.ringAt + at + MESSAGE_HEADER_BYTES;
    this.payloadBytes = bytes;
    this.#prepared = (this.#prepared + total) | 0;
    this.#wanted = 0;
    // A hint for an end that ran dry: more is coming. Not for a lone message, whose send is the next thing we
    // do.
    if (++this.#batched === 2) words[this.mine + PRODUCER_ACTIVE] = 1;
    return "ok";
  }

  /** {@linkcode prepare}, and copies `length` bytes of `payload`, from `from` on, into it. */
  prepareCopy(
    payload: Uint8Array,
    type = 0,
    flags = 0,
    from = 0,
    length: number = payload.length - from,
  ): "ok" | "retry" {
    if (!(from >= 0 && length >= 0 && from + length <= payload.length)) refuseRange();
    if (this.prepare(length, type, flags) === "retry") return "retry";
    if (length > 0) this.region.copyIn(this.payloadAt, payload, from, length);
    return "ok";
  }

  /** Makes what was prepared visible to the other end, and rings if it asked for that. */
  send(): void {
    const before = this.#sent;
    const now = this.#prepared;
    if (now === before) return;
    const words = this.words;
    // Clears the hint before the index moves, so that it costs the other end no second look at our line.
    if (this.#batched > 1) words[this.mine + PRODUCER_ACTIVE] = 0;
    this.#batched = 0;
    this.#sent = now;
    Atomics.store(words, this.mine + PROD, now); // release, and the full fence before the threshold is read
    if (passes(before, now, Atomics.load(words, this.theirs + PEER_PROD_EVENT))) this.bell.ring();
  }

  /** Bytes prepared and not yet sent, headers and pads included. */
  get unsentBytes(): number {
    return (this.#prepared - this.#sent) >>> 0;
  }

  /** Bytes sent and not yet consumed by the other end, as last seen. */
  get queuedBytes(): number {
    return (this.#sent - this.#peerCons) >>> 0;
  }

  /** Whether the other end has consumed all that was sent. */
  drained(): boolean {
    this.#look();
    return this.#peerCons === this.#sent;
  }

  /**
   * The largest payload that {@linkcode prepare} takes now without a large pad: a lower bound that always
   * succeeds. -1 when not even an empty message fits.
   */
  bytesAvailable(): number {
    this.#look();
    const room = this.#room();
    const toEnd = this.ringBytes - (this.#prepared & this.mask);
    const half = this.ringBytes >> 1;
    let largest = Math.min(room, toEnd, half);
    // Near the end the pad is small, and what lies behind it the better offer.
    if (toEnd <= this.ringBytes >> 4) largest = Math.max(largest, Math.min(room - toEnd, half));
    return largest < MESSAGE_HEADER_BYTES ? -1 : largest - MESSAGE_HEADER_BYTES;
  }

  /** Whether the last {@linkcode prepare} answered "retry", and the room was not found since. */
  get wantsRoom(): boolean {
    return this.#wanted > 0;
  }

  /**
   * Whether the room is there that the last refused {@linkcode prepare} wanted. If not, the doorbell for
   * space is armed, and it is safe to sleep.
   *
   * @throws {Fault} `bad-argument` when messages are prepared and not sent: the other end cannot consume
   *   them, and the sleep might never end
   */
  armSpace(): boolean {
    if (this.#wanted === 0) return true;
    if (this.#prepared !== this.#sent) {
      throw new Fault(
        "bad-argument",
        `Cannot wait for room in the ring: ${this.unsentBytes} bytes are prepared but not sent, call send() first.`,
      );
    }
    return this.#findRoom(this.#wanted);
  }

  /** Whether the room that the last refused {@linkcode prepare} wanted is there; arms nothing. */
  roomReady(): boolean {
    if (this.#wanted === 0) return true;
    this.#look();
    return this.#wanted <= this.#room() && this.#found();
  }

  /** Ends its use: whatever is asked of it from now on is answered by this fault. */
  override shut(fault: Fault): void {
    this.fault = fault;
    this.#prepared = this.#sent;
    // no room: every prepare() looks, and finds the fault
    this.#peerCons = (this.#sent - this.ringBytes) | 0;
  }

  /** Whether the other end asks for low latency: for tuning, never for correctness. */
  peerWantsFastWakeup(): boolean {
    return this.words[this.theirs + PEER_CONSUMER_ACTIVE] !== 0;
  }

  #room(): number {
    return this.ringBytes - ((this.#prepared - this.#peerCons) | 0);
  }

  /** Looks, arms, looks again: true when `total` bytes are free. */
  #findRoom(total: number): boolean {
    this.#look();
    if (total <= this.#room()) return this.#found();
    this.#wanted = total;
    const wake = (this.#prepared + total - this.ringBytes) | 0;
    // A nearer threshold that still waits stays: who was refused less room must hear first.
    const pending = (this.#consEvent - this.#peerCons) | 0;
    if (!(pending > 0 && pending <= ((wake - this.#peerCons) | 0))) this.#consEvent = wake;
    Atomics.store(this.words, this.mine + CONS_EVENT, this.#consEvent); // with the full fence
    this.#look(); // the other end may have moved before it could see the threshold
    return total <= this.#room() && this.#found();
  }

  #found(): true {
    this.#wanted = 0;
    return true;
  }

  /** Reads the other end's index, once, and checks it. */
  #look(): void {
    if (this.fault !== undefined) throw this.fault;
    const cons = Atomics.load(this.words, this.theirs + PEER_CONS);
    const moved = (cons - this.#peerCons) >>> 0;
    if (moved > ((this.#sent - this.#peerCons) >>> 0) || (cons & 7) !== 0) this.#distrustIndex(cons);
    this.#peerCons = cons;
  }

  #distrustIndex(cons: number): never {
    this.distrust(
      `it says that it consumed up to ${cons >>> 0}, ` +
        `which is not between ${this.#peerCons >>> 0} and ${this.#sent >>> 0}`,
    );
  }

  #refuse(bytes: number): never {
    if (Number.isInteger(bytes) && bytes > 0) {
      throw new Fault(
        "too-large",
        `Cannot send a message of ${bytes} bytes: this ring takes at most ${this.maxPayloadBytes} ` +
          "(half its size, less the header). Split it, use a stream, or listen with a larger order.",
      );
    }
    throw new Fault("bad-argument", `Cannot send a message of ${bytes} bytes: that is not a valid length.`);
  }
}

function refuseType(type: number, flags: number): never {
  throw new Fault(
    "bad-argument",
    `Cannot send a message of type ${type} with flags ${flags}: a type is 0 to 254, flags are 0 to 255.`,
  );
}

function refuseRange(): never {
  throw new Fault("bad-argument", "Cannot send a part of an array that lies outside of it.");
}
