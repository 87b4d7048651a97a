import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { CONNECTOR_CONTROL_AT, CONTROL, LISTENER_CONTROL_AT } from "../../../src/v2v/region_layout.ts";
import { Receiver } from "../../../src/v2v/receiver.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";
import { beforeStore, RingFixture } from "./ring_fixture.ts";
import { RingModel } from "./ring_model.ts";

Deno.test("a ring answers as a plain model does, both ends at random", () => {
  withSeed((random) => {
    const totals = { slept: 0, wokenForData: 0, wokenForRoom: 0, pads: 0, full: 0, retries: 0 };
    for (let run = 0; run < 40; run++) {
      const model = new RingModel(run % 3, random);
      for (let i = 0; i < 3000; i++) model.step();
      for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += model.seen[key];
    }
    for (const [what, count] of Object.entries(totals)) {
      assert(count > 0, `the run showed nothing of: ${what}`);
    }
  });
});

Deno.test("the model finds a receiver that does not look again after arming", () => {
  class Careless extends Receiver {
    override armData(): boolean {
      super.armData();
      return true;
    }
  }
  assertThrows(
    () =>
      withSeed((random) => {
        const model = new RingModel(0, random, Careless);
        for (let i = 0; i < 5000; i++) model.step();
      }),
    Error,
    "sleep",
  );
});

Deno.test("a message sent between the look and the arming is seen: no lost wake-up", () => {
  const ring = new RingFixture(0);
  assertEquals(ring.receiver.get(), false);
  beforeStore(ring.words, CONNECTOR_CONTROL_AT + CONTROL.at.prodEvent, () => {
    assertEquals(ring.sender.prepareCopy(Uint8Array.of(1, 2, 3), 7), "ok");
    ring.sender.send();
  }, () => assertEquals(ring.receiver.armData(), false, "it is not safe to sleep"));
  assertEquals(ring.dataBell.rung, 0, "nobody was rung: only the second look can tell");
  assert(ring.receiver.get());
});

Deno.test("room made between the look and the arming is seen: no lost wake-up", () => {
  const ring = new RingFixture(0);
  const half = new Uint8Array(ring.sender.maxPayloadBytes);
  assertEquals(ring.sender.prepareCopy(half), "ok");
  assertEquals(ring.sender.prepareCopy(half), "ok");
  ring.sender.send();
  assert(ring.receiver.get());
  const rungBefore = ring.spaceBell.rung;
  beforeStore(
    ring.words,
    LISTENER_CONTROL_AT + CONTROL.at.consEvent,
    () => ring.receiver.finish(),
    () => assertEquals(ring.sender.prepareCopy(half), "ok", "the room is there by now"),
  );
  assertEquals(ring.spaceBell.rung, rungBefore, "nobody was rung: only the second look can tell");
});

Deno.test("indices run past 2^32 without a seam", () => {
  const ring = new RingFixture(0);
  const payload = new Uint8Array(8);
  const most = ring.sender.maxPayloadBytes;
  let sentBytes = 0, count = 0;
  while (sentBytes < 2 ** 32 + 100_000) {
    const bytes = count % 5 === 0 ? 8 : most;
    assertEquals(ring.sender.prepare(bytes, count & 0x7f), "ok");
    payload[0] = count;
    ring.region.copyIn(ring.sender.payloadAt, payload, 0, 8);
    ring.sender.send();
    if (!ring.receiver.get()) throw new Error(`message ${count} is lost`);
    if (ring.receiver.payloadBytes !== bytes || ring.receiver.type !== (count & 0x7f)) {
      throw new Error(`message ${count} came as another`);
    }
    ring.region.copyOut(ring.receiver.payloadAt, payload, 0, 8);
    if (payload[0] !== (count & 0xff)) throw new Error(`message ${count} has other bytes`);
    ring.receiver.finish();
    sentBytes += bytes + 8;
    count++;
  }
  assertEquals(ring.receiver.get(), false);
});

Deno.test("an exactly full ring is legal, promises nothing, and drains", () => {
  const ring = new RingFixture(0);
  for (let i = 0; i < 4096 / 64; i++) assertEquals(ring.sender.prepare(56), "ok");
  assertEquals(ring.sender.bytesAvailable(), -1);
  assertEquals(ring.sender.prepare(0), "retry");
  ring.sender.send();
  assertEquals(ring.sender.bytesAvailable(), -1);
  for (let i = 0; i < 4096 / 64; i++) {
    assert(ring.receiver.get());
    assertEquals(ring.receiver.payloadBytes, 56);
    ring.receiver.finish();
  }
  assertEquals(ring.receiver.get(), false);
  assertEquals(ring.sender.bytesAvailable(), ring.sender.maxPayloadBytes);
  assertEquals(ring.sender.prepare(ring.sender.bytesAvailable()), "ok");
});

Deno.test("an empty message travels, and fills the last eight bytes of the ring", () => {
  const ring = new RingFixture(0);
  for (const bytes of [2040, 2032]) assertEquals(ring.sender.prepare(bytes), "ok");
  assertEquals(ring.sender.bytesAvailable(), 0);
  assertEquals(ring.sender.prepare(0, 9, 3), "ok");
  ring.sender.send();
  const types: number[] = [];
  while (ring.receiver.get()) {
    types.push(ring.receiver.type, ring.receiver.payloadBytes);
    ring.receiver.finish();
  }
  assertEquals(types, [0, 2040, 0, 2032, 9, 0]);
});

Deno.test("doorbells: rung for who sleeps, for nobody else", () => {
  const ring = new RingFixture(0);
  const send = () => {
    assertEquals(ring.sender.prepare(8), "ok");
    ring.sender.send();
  };
  send(); // nobody asked
  assertEquals(ring.dataBell.rung, 0);
  assert(ring.receiver.get());
  ring.receiver.finish();
  assert(ring.receiver.armData());
  send();
  assertEquals(ring.dataBell.rung, 1);
  send(); // the threshold is passed: it is awake
  assertEquals(ring.dataBell.rung, 1);
  assertEquals(ring.spaceBell.rung, 0, "a sender that found room is not told of more");
  ring.receiver.get();
  ring.receiver.finish();
  ring.receiver.get();
  ring.receiver.finish();
  while (ring.sender.prepare(1000) === "ok") ring.sender.send();
  ring.receiver.get();
  ring.receiver.finish();
  assertEquals(ring.spaceBell.rung, 1);
});

Deno.test("wrong use is refused with a name", () => {
  const ring = new RingFixture(0);
  const { sender, receiver } = ring;
  const code = (body: () => void): string => assertThrows(body, Fault).code;
  assertEquals(code(() => sender.prepare(sender.maxPayloadBytes + 1)), "too-large");
  assertEquals(code(() => sender.prepare(-1)), "bad-argument");
  assertEquals(code(() => sender.prepare(NaN)), "bad-argument");
  assertEquals(code(() => sender.prepare(8, 255)), "bad-argument");
  assertEquals(code(() => sender.prepare(8, 1, 256)), "bad-argument");
  assertEquals(code(() => sender.prepareCopy(new Uint8Array(4), 0, 0, 2, 3)), "bad-argument");
  assertEquals(code(() => receiver.finish()), "bad-argument");
  assertEquals(code(() => receiver.advance()), "bad-argument");
  assertEquals(code(() => receiver.copyPayload(new Uint8Array(4))), "bad-argument");
  while (sender.prepare(1000) === "ok") { /* fill it */ }
  assertEquals(code(() => sender.armSpace()), "bad-argument", "waiting with unsent messages would not end");
});

Deno.test("a batch of pads alone gives its room back", () => {
  const ring = new RingFixture(0);
  // As a foreign sender may do it: the pad is published before the message that made it necessary.
  const prod = (LISTENER_CONTROL_AT + CONTROL.at.prod) >> 2;
  const header = ring.ringAt >> 2;
  ring.words[header] = 255;
  ring.words[header + 1] = 4096;
  Atomics.store(ring.words, prod, 4096);
  assertEquals(ring.receiver.get(), false);
  assertEquals(Atomics.load(ring.words, (CONNECTOR_CONTROL_AT + CONTROL.at.cons) >> 2), 4096);
});
