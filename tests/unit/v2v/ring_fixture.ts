/**
 * Both ends of one ring in one buffer, for tests: a sender, a receiver, and bells that count.
 * @module
 */
import type { Fault } from "../../../src/base/fault.ts";
import type { Bell } from "../../../src/v2v/bell.ts";
import { Receiver } from "../../../src/v2v/receiver.ts";
import {
  CONNECTOR_CONTROL_AT,
  LISTENER_CONTROL_AT,
  ringBytes,
  RINGS_AT,
} from "../../../src/v2v/region_layout.ts";
import type { RingPlace } from "../../../src/v2v/ring_half.ts";
import { Sender } from "../../../src/v2v/sender.ts";
import { BufferRegion } from "../../../src/v2v/shared_region.ts";

/** A bell that counts. */
export class CountingBell implements Bell {
  rung = 0;
  fault: Fault | undefined;

  ring(): void {
    this.rung++;
  }

  broken(fault: Fault): void {
    this.fault = fault;
  }
}

/** A ring with both its ends. */
export class RingFixture {
  readonly region: BufferRegion;
  readonly words: Int32Array;
  readonly ringAt: number = RINGS_AT;
  readonly ringBytes: number;
  /** Rung for the receiver. */
  readonly dataBell = new CountingBell();
  /** Rung for the sender. */
  readonly spaceBell = new CountingBell();
  readonly sender: Sender;
  readonly receiver: Receiver;

  constructor(order: number, receiverClass: typeof Receiver = Receiver) {
    this.ringBytes = ringBytes(order);
    this.region = new BufferRegion(new ArrayBuffer(RINGS_AT + this.ringBytes));
    this.words = new Int32Array(this.region.buffer);
    const ring = { ringAt: RINGS_AT, ringBytes: this.ringBytes };
    const sending: RingPlace = { mineAt: LISTENER_CONTROL_AT, theirsAt: CONNECTOR_CONTROL_AT, ...ring };
    const receiving: RingPlace = { mineAt: CONNECTOR_CONTROL_AT, theirsAt: LISTENER_CONTROL_AT, ...ring };
    this.sender = new Sender(this.region, sending, this.dataBell);
    this.receiver = new receiverClass(this.region, receiving, this.spaceBell);
  }
}

/**
 * Runs `during` once, right before the next Atomics.store to this word takes effect: the moment between a
 * look and an arming that a race would hit.
 */
export function beforeStore(
  words: Int32Array,
  byteOffset: number,
  during: () => void,
  body: () => void,
): void {
  const original = Atomics.store;
  let armed = true;
  // deno-lint-ignore no-explicit-any
  (Atomics as any).store = (array: Int32Array, index: number, value: number): number => {
    if (armed && array.buffer === words.buffer && index === byteOffset >> 2) {
      armed = false;
      during();
    }
    return original(array, index, value);
  };
  try {
    body();
  } finally {
    Atomics.store = original;
  }
  if (armed) throw new Error("the word was never stored to");
}
