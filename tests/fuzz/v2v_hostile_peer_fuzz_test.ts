/**
 * A hostile other end: random indices, thresholds, sizes, types, pads, states and generations, written into
 * the region between and behind the operations of a victim. The victim may answer, or throw a named fault; it
 * may not throw anything else, touch a byte that is not its own, hand out a payload outside its ring, or run
 * for ever.
 * @module
 */
import { assert } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { Fault } from "../../src/base/fault.ts";
import { decodeInvitation } from "../../src/rendezvous/invitation.ts";
import { Channel } from "../../src/v2v/channel.ts";
import type { ChannelLink } from "../../src/v2v/channel_link.ts";
import { RegionHeader } from "../../src/v2v/region_header.ts";
import {
  CONNECTOR_CONTROL_AT,
  LISTENER_CONTROL_AT,
  regionBytes,
  ringBytes,
  RINGS_AT,
  type Role,
} from "../../src/v2v/region_layout.ts";
import { BufferRegion } from "../../src/v2v/shared_region.ts";
import { Stream } from "../../src/v2v/stream.ts";
import { type SeededRandom, withSeed } from "../fixtures/seeded_random.ts";

const MUTATIONS = Number(Deno.env.get("VMSIG_FUZZ_MUTATIONS") ?? 1_000_000);
const COMPARE_EVERY = 97;
const PROD_ORDER = 0, CONS_ORDER = 1;

/** A clock that a look at it turns on, so that who waits by looking comes to an end. */
class TickingClock extends ManualClock {
  override nowNs(): number {
    this.advance(1000);
    return super.nowNs();
  }
}

/** A link that does nothing but let time pass. */
class DeafLink implements ChannelLink {
  readonly fds = undefined;
  present = true;
  readonly #clock: ManualClock;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }
  ringData(): boolean {
    return true;
  }
  ringSpace(): boolean {
    return true;
  }
  wait(timeoutNs: number): void {
    this.#clock.advance(timeoutNs);
  }
  waitAsync(timeoutNs: number): Promise<void> {
    this.#clock.advance(timeoutNs);
    return Promise.resolve();
  }
  peerPresent(): boolean {
    return this.present;
  }
  clear(): void {}
  close(): void {}
}

/** A victim and what is the hostile end's in its region. */
class Scene {
  readonly words: Int32Array;
  readonly channel: Channel;
  readonly link: DeafLink;
  readonly role: Role;
  readonly stream: Stream | undefined;
  // Byte ranges that only the other end writes.
  readonly #theirs: readonly [number, number][];
  readonly #incoming: readonly [number, number];
  readonly #random: SeededRandom;
  readonly #target = new Uint8Array(5000);
  #prodGuess = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
    const region = new BufferRegion(new ArrayBuffer(regionBytes(PROD_ORDER, CONS_ORDER)));
    const header = new RegionHeader(region);
    const plan = { generation: 1, prodOrder: PROD_ORDER, consOrder: CONS_ORDER };
    header.initialise(plan);
    header.join(1);
    header.setState("listener", "connected");
    this.words = new Int32Array(region.buffer);
    this.role = random.oneIn(2) ? "listener" : "connector";
    const clock = new TickingClock();
    this.link = new DeafLink(clock);
    this.channel = new Channel({
      role: this.role,
      region,
      header,
      link: this.link,
      clock,
      ...plan,
      tuning: { spinNs: 0 },
    });
    const first = [RINGS_AT, RINGS_AT + ringBytes(PROD_ORDER)] as const;
    const second = [first[1], first[1] + ringBytes(CONS_ORDER)] as const;
    const listener = this.role === "listener";
    this.#incoming = listener ? second : first;
    const block = listener ? CONNECTOR_CONTROL_AT : LISTENER_CONTROL_AT;
    const state = listener ? 0x1c : 0x18;
    this.#theirs = [[state, state + 4], [block, block + 64], [...this.#incoming], [0x20, 0x40], [0, 0x18]];
    if (random.oneIn(4)) this.stream = new Stream(this.channel);
  }

  /** One thing that the hostile end writes. */
  mutate(): void {
    const random = this.#random;
    const block = (this.role === "listener" ? CONNECTOR_CONTROL_AT : LISTENER_CONTROL_AT) >> 2;
    const [from, to] = this.#incoming;
    switch (random.below(12)) {
      case 0:
        this.words[block] = random.u32();
        break;
      case 1: // a little further, aligned: what a correct end might write
      case 2:
      case 3:
        this.#prodGuess = ((this.words[block] as number) + 8 * random.below(64)) | 0;
        this.words[block] = this.#prodGuess;
        break;
      case 4:
        this.words[block + 2] = random.oneIn(2)
          ? random.u32()
          : (this.words[block + 2] as number) + 8 * random.below(20);
        break;
      case 5:
        this.words[block + random.below(16)] = random.u32();
        break;
      case 6:
      case 7: { // a plausible header anywhere
        const at = (from + 8 * random.below((to - from) >> 3)) >> 2;
        this.words[at] = random.oneIn(5) ? 255 : random.below(3);
        this.words[at + 1] = random.oneIn(3) ? random.u32() : random.below(to - from + 64);
        break;
      }
      case 8:
        this.words[(from >> 2) + random.below((to - from) >> 2)] = random.u32();
        break;
      case 9:
        this.words.fill(random.oneIn(2) ? 8 << 8 : 1, from >> 2, to >> 2);
        for (let at = from >> 2; at < to >> 2; at += 2 * (1 + random.below(8))) {
          this.words[at] = random.below(2) * 255;
          this.words[at + 1] = 8 + random.below(100);
        }
        break;
      case 10:
        this.words[this.role === "listener" ? 7 : 6] = random.oneIn(3)
          ? random.u32()
          : 0x120 + random.below(12);
        if (random.oneIn(4)) this.link.present = random.oneIn(2);
        break;
      case 11: // the head: rarely, it ends the channel
        if (random.oneIn(50)) this.words[random.below(6)] = random.u32();
        break;
    }
  }

  /** One operation of the victim. Returns false when the channel is at its end. */
  operate(): boolean {
    try {
      if (this.stream !== undefined) this.#operateStream(this.stream);
      else this.#operateRing();
      return true;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      if (error.code === "bad-argument") return true; // finish without get, wait with unsent messages
      assert(error.code === "protocol-error", `an unexpected fault: ${error.code}: ${error.message}`);
      assert(this.channel.remoteState() === "crashed" && this.channel.waitReceive(0) === "closed");
      return false;
    }
  }

  #operateRing(): void {
    const { sender, receiver } = this.channel;
    const random = this.#random;
    switch (random.below(9)) {
      case 0:
      case 1:
      case 2:
        if (!receiver.get()) break;
        assert(receiver.payloadAt >= this.#incoming[0] + 8, "a payload lies in the ring");
        assert(receiver.payloadAt + receiver.payloadBytes <= this.#incoming[1], "a payload lies in the ring");
        receiver.copyPayload(this.#target);
        if (random.oneIn(2)) receiver.finish();
        else receiver.advance();
        break;
      case 3:
        receiver.release();
        break;
      case 4:
        sender.prepare(random.below(sender.maxPayloadBytes + 1), random.below(255));
        break;
      case 5:
        sender.send();
        break;
      case 6:
        if (sender.bytesAvailable() >= 0 && random.oneIn(2)) sender.send();
        break;
      case 7:
        this.channel.wait(random.oneIn(2) ? "receive" : "any", random.below(300));
        break;
      case 8:
        this.channel.remoteState();
        this.channel.wait(random.oneIn(2) ? "send" : "control", random.below(3));
    }
  }

  #operateStream(stream: Stream): void {
    const random = this.#random;
    if (random.oneIn(2)) stream.receive(this.#target.subarray(0, 1 + random.below(4999)), random.below(2));
    else stream.send(this.#target.subarray(0, random.below(5000)), random.below(2));
  }

  /** What is the other end's, to be compared around an operation. */
  snapshot(): Uint8Array[] {
    return this.#theirs.map(([from, to]) => new Uint8Array(this.words.buffer.slice(from, to)));
  }
}

function same(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.every((bytes, i) => bytes.every((byte, k) => byte === b[i]?.[k]));
}

Deno.test(`a hostile other end, ${MUTATIONS} mutations`, () => {
  withSeed((random) => {
    let scene = new Scene(random);
    let crashes = 0;
    for (let i = 0; i < MUTATIONS; i++) {
      scene.mutate();
      const before = i % COMPARE_EVERY === 0 ? scene.snapshot() : undefined;
      const goesOn = scene.operate();
      if (before !== undefined) {
        assert(same(before, scene.snapshot()), "only its own bytes are the victim's to write");
      }
      if (!goesOn || random.oneIn(2000)) {
        crashes += goesOn ? 0 : 1;
        scene = new Scene(random);
      }
    }
    assert(crashes > MUTATIONS / 1000, "the victim was attacked for real");
  });
});

Deno.test("an invitation of random bytes is refused with a name", () => {
  withSeed((random) => {
    for (let i = 0; i < 20_000; i++) {
      const bytes = Uint8Array.from({ length: random.below(80) }, () => random.u32());
      if (random.oneIn(2)) bytes.set([0xa1, 0x65, 0x70, 0x72, 0x6f, 0x74, 0x6f].slice(0, bytes.length));
      try {
        decodeInvitation(bytes, "it");
        assert(false, "random bytes are no invitation");
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        assert(error.code === "protocol-error", error.message);
      }
    }
  });
});
