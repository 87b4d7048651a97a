/**
 * A ring against a plain model: arrays and counters that know nothing of shared memory. Random operations of
 * both ends, every answer compared; a bell that did not ring for who sleeps is an error.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { SeededRandom } from "../../fixtures/seeded_random.ts";
import { RingFixture } from "./ring_fixture.ts";
import type { Receiver } from "../../../src/v2v/receiver.ts";

interface Message {
  readonly type: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
  /** Ring bytes up to its end, the pad before it included. */
  readonly span: number;
}

/** The model, and the ring that is held against it. */
export class RingModel {
  readonly ring: RingFixture;
  readonly #random: SeededRandom;
  #prepared: Message[] = [];
  #queue: Message[] = [];
  #read: Message[] = []; // advanced over, not released
  #at = 0; // where the next message goes, unbounded
  #used = 0; // bytes between released and prepared
  #held = false;
  // Who sleeps, and how often its bell had rung by then.
  #receiverSleeps = -1;
  #senderSleeps = -1;
  #wanted = 0;
  /** How many of each thing happened: a run that never slept shows nothing. */
  readonly seen = {
    sent: 0,
    got: 0,
    pads: 0,
    retries: 0,
    slept: 0,
    wokenForData: 0,
    wokenForRoom: 0,
    full: 0,
  };

  constructor(order: number, random: SeededRandom, receiverClass?: typeof Receiver) {
    this.ring = new RingFixture(order, receiverClass);
    this.#random = random;
  }

  /** One operation of either end. */
  step(): void {
    switch (this.#random.below(9)) {
      case 0:
      case 1:
      case 2:
        return this.#prepare();
      case 3:
        return this.#send();
      case 4:
      case 5:
        return this.#get();
      case 6:
        return this.#finish();
      case 7:
        return this.#random.oneIn(2) ? this.#sleepForData() : this.#sleepForRoom();
      case 8:
        return this.#available();
    }
  }

  #total(bytes: number): number {
    const needed = Math.ceil((bytes + 8) / 8) * 8;
    const toEnd = this.ring.ringBytes - (this.#at % this.ring.ringBytes);
    return needed <= toEnd ? needed : needed + toEnd;
  }

  #prepare(bytes: number = this.#size()): void {
    const type = this.#random.below(255), flags = this.#random.below(256);
    const total = this.#total(bytes);
    const fits = this.#used + total <= this.ring.ringBytes;
    const payload = new Uint8Array(bytes);
    for (let i = 0; i < bytes; i += 7) payload[i] = this.#random.u32();
    const answer = this.ring.sender.prepareCopy(payload, type, flags);
    assertEquals(answer, fits ? "ok" : "retry", `prepare(${bytes}) with ${this.#used} used at ${this.#at}`);
    if (!fits) {
      this.seen.retries++;
      this.#wanted = total;
      return;
    }
    if (total > Math.ceil((bytes + 8) / 8) * 8) this.seen.pads++;
    this.#prepared.push({ type, flags, bytes: payload, span: total });
    this.#at += total;
    this.#used += total;
    this.#wanted = 0;
    this.#senderSleeps = -1; // it is awake, or it would not prepare
    if (this.#used === this.ring.ringBytes) this.seen.full++;
  }

  #size(): number {
    const most = this.ring.sender.maxPayloadBytes;
    if (this.#random.oneIn(8)) return most;
    return this.#random.below(this.#random.oneIn(3) ? most + 1 : 200);
  }

  #send(): void {
    this.ring.sender.send();
    this.seen.sent += this.#prepared.length;
    this.#queue.push(...this.#prepared);
    this.#prepared = [];
    this.#checkReceiver();
  }

  /** A receiver that was told to sleep must have been rung once something is there. */
  #checkReceiver(): void {
    if (this.#receiverSleeps < 0 || this.#queue.length === 0) return;
    assert(
      this.ring.dataBell.rung > this.#receiverSleeps,
      "lost wake-up: data is there, and the receiver sleeps",
    );
    this.seen.wokenForData++;
    this.#receiverSleeps = -1;
  }

  #checkSender(): void {
    if (this.#senderSleeps < 0 || this.#used + this.#wanted > this.ring.ringBytes) return;
    assert(
      this.ring.spaceBell.rung > this.#senderSleeps,
      "lost wake-up: room is there, and the sender sleeps",
    );
    this.seen.wokenForRoom++;
    this.#senderSleeps = -1;
  }

  #get(): void {
    this.#receiverSleeps = -1;
    const { receiver } = this.ring;
    const found = receiver.get();
    const expected = this.#queue[0];
    assertEquals(found, expected !== undefined, "get() finds what was sent");
    if (expected === undefined) return;
    this.#held = true;
    assertEquals([receiver.type, receiver.flags, receiver.payloadBytes], [
      expected.type,
      expected.flags,
      expected.bytes.length,
    ]);
    const copy = new Uint8Array(expected.bytes.length);
    receiver.copyPayload(copy);
    assertEquals(copy, expected.bytes);
  }

  #finish(): void {
    const first = this.#queue[0];
    if (!this.#held || first === undefined) return;
    this.#held = false;
    this.#queue.shift();
    this.#read.push(first);
    this.seen.got++;
    if (this.#random.oneIn(3)) return this.ring.receiver.advance();
    this.ring.receiver.finish();
    for (const message of this.#read) this.#used -= message.span;
    this.#read = [];
    this.#checkSender();
  }

  #sleepForData(): void {
    const rung = this.ring.dataBell.rung;
    const safe = this.ring.receiver.armData();
    // A pad alone may look like data; here it always comes with a message behind it.
    assertEquals(
      safe || this.#held,
      this.#queue.length === 0 || this.#held,
      "armData() says whether it may sleep",
    );
    if (!safe) return;
    this.#receiverSleeps = rung;
    this.seen.slept++;
  }

  #sleepForRoom(): void {
    if (this.#wanted === 0 || this.#prepared.length > 0) return;
    // Only once all is released: what is kept is the receiver's own choice.
    const rung = this.ring.spaceBell.rung;
    const there = this.ring.sender.armSpace();
    assertEquals(
      there,
      this.#used + this.#wanted <= this.ring.ringBytes,
      "armSpace() says whether it may sleep",
    );
    if (there) this.#wanted = 0;
    else {
      this.#senderSleeps = rung;
      this.seen.slept++;
    }
  }

  #available(): void {
    const bytes = this.ring.sender.bytesAvailable();
    if (bytes === -1) assertEquals(this.#used, this.ring.ringBytes, "only a full ring takes nothing");
    else {assert(
        this.#used + this.#total(bytes) <= this.ring.ringBytes,
        `promised ${bytes} bytes, which do not fit`,
      );}
    if (bytes >= 0 && this.#random.oneIn(2)) this.#prepare(bytes);
  }
}
