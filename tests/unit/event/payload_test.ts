import type { ControlId } from "../../../src/base/ids.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { AssertionFault } from "../../../src/base/assert.ts";
import { EventQueue } from "../../../src/event/event_queue.ts";
import { EventRing } from "../../../src/event/event_ring.ts";
import { BODY, EventPool, PAYLOAD, type TransferEvent } from "../../../src/event/transfer_event.ts";
import { type SeededRandom, withSeed } from "../../fixtures/seeded_random.ts";

class Owner {
  readonly released: number[] = [];
  releasePayload(event: TransferEvent): void {
    this.released.push(...event.fds);
  }
}

Deno.test("a payload is released once, by the last holder", () => {
  const pool = new EventPool();
  const owner = new Owner();
  const event = pool.acquire();
  event.own([7, 8], owner);
  assertEquals(event.payloadFlags, PAYLOAD.OWNED);
  event.retain().retain();
  event.release();
  event.release();
  assertEquals([owner.released, pool.live, event.references], [[], 1, 1]);
  event.release();
  assertEquals([owner.released, pool.live], [[7, 8], 0]);
  assertThrows(() => event.release(), AssertionFault);
  assertThrows(() => event.retain(), AssertionFault);
  assertEquals(owner.released, [7, 8]);
});

Deno.test("an event has one payload, and a new one none", () => {
  const pool = new EventPool();
  const owner = new Owner();
  const event = pool.acquire();
  event.own([1], owner);
  assertThrows(() => event.own([2], owner), AssertionFault);
  event.setBody(BODY.CBOR, new Uint8Array([1, 2, 3]));
  event.words.fill(0xffffffff);
  Object.assign(event, {
    kind: 5,
    source: 2,
    dir: 1,
    prio: 3,
    endpoint: 9,
    seq: 9,
    corr: 9,
    origin: 9,
    tsNs: 9,
  });
  Object.assign(event, { token: 9, ticket: 9, coalesced: 9, dueNs: 9 });
  event.release();
  const next = pool.acquire();
  assertEquals(next === event, true, "it is used again");
  const { kind, source, dir, prio, endpoint, seq, corr, origin, tsNs, token, ticket, coalesced, dueNs } =
    next;
  assertEquals([kind, source, dir, prio, endpoint, seq, corr, origin], [0, 0, 0, -1, 0, 0, 0, 0]);
  assertEquals([tsNs, token, ticket, coalesced, dueNs], [0, 0, 0, 0, 0]);
  assertEquals([next.bodyBytes, next.bodyFormat, next.payloadFlags, next.fds.length], [0, 0, 0, 0]);
  assertEquals([...next.words], new Array(12).fill(0));
  assertEquals(next.payloadOwner, null);
  next.release();
});

Deno.test("descriptors that a holder takes are not its owner's to close; nobody takes borrowed ones", () => {
  const pool = new EventPool();
  const owner = new Owner();
  const event = pool.acquire();
  event.own([7, 8], owner);
  assertEquals(event.takeFds(), [7, 8]);
  assertEquals(event.takeFds(), []);
  event.release();
  assertEquals([owner.released, pool.live], [[], 0]);
  const borrowed = pool.acquire();
  borrowed.fds = [9];
  assertThrows(() => borrowed.takeFds(), AssertionFault);
  borrowed.release();
});

Deno.test("a body is a copy or a view, as it was asked for", () => {
  const pool = new EventPool();
  const event = pool.acquire();
  const bytes = new Uint8Array([0, 1, 2, 3, 4]);
  event.copyBody(BODY.RAW, bytes, 1, 3);
  bytes.fill(9);
  assertEquals([...event.bodyView()], [1, 2, 3]);
  event.setBody(BODY.RAW, bytes);
  bytes[0] = 7;
  assertEquals([...event.bodyView()], [7, 9, 9, 9, 9]);
  event.copyBody(BODY.RAW, new Uint8Array(65_536).fill(5), 0, 65_536);
  assertEquals(event.bodyView().every((byte) => byte === 5), true);
  event.copyBody(BODY.RAW, bytes, 0, 0);
  assertEquals(event.bodyView().length, 0);
  event.release();
});

Deno.test("an exchange of contents moves bodies and payloads whole", () => {
  const pool = new EventPool();
  const owner = new Owner();
  const [a, b] = [pool.acquire(), pool.acquire()];
  a.copyBody(BODY.RAW, new Uint8Array([1]), 0, 1);
  b.copyBody(BODY.CBOR, new Uint8Array([2, 2]), 0, 2);
  b.own([4], owner);
  b.words[0] = 11;
  b.tsNs = 99;
  a.exchangeContent(b);
  assertEquals([[...a.bodyView()], a.bodyFormat, a.words[0], a.tsNs, [...a.fds]], [[2, 2], 2, 11, 99, [4]]);
  assertEquals([[...b.bodyView()], b.bodyFormat, b.words[0], b.tsNs, [...b.fds]], [[1], 1, 0, 0, []]);
  // Each has its own store still.
  b.copyBody(BODY.RAW, new Uint8Array([3]), 0, 1);
  assertEquals([...a.bodyView()], [2, 2]);
  b.release();
  assertEquals(owner.released, []);
  a.release();
  assertEquals(owner.released, [4]);
});

Deno.test("the pool keeps a bounded number and counts what is held", () => {
  const pool = new EventPool(2);
  const events = [pool.acquire(), pool.acquire(), pool.acquire()];
  assertEquals(pool.live, 3);
  for (const event of events) event.release();
  assertEquals(pool.live, 0);
  const again = [pool.acquire(), pool.acquire(), pool.acquire()];
  assertEquals(again.filter((event) => events.includes(event)).length, 2);
  for (const event of again) event.release();
});

Deno.test("an event is in one queue at most", () => {
  const pool = new EventPool();
  const queue = new EventQueue();
  const [a, b] = [pool.acquire(), pool.acquire()];
  queue.push(a);
  assertThrows(() => queue.push(a), AssertionFault);
  queue.push(b);
  assertThrows(() => queue.unshift(a), AssertionFault);
  assertThrows(() => a.release(), AssertionFault, "in no queue");
});

Deno.test("the queue agrees with an array", () => {
  for (let round = 0; round < 40; round++) withSeed(queueAgrees);
});

function queueAgrees(random: SeededRandom): void {
  const pool = new EventPool();
  const queue = new EventQueue();
  let model: number[] = [];
  const corr = (event: TransferEvent | null) => {
    const id = event?.corr;
    event?.release();
    return id;
  };
  for (let id = 1; id <= 400; id++) {
    const event = pool.acquire();
    event.corr = id;
    event.origin = random.below(2) as ControlId;
    switch (random.below(6)) {
      case 0:
      case 1:
        queue.push(event);
        model.push(id);
        break;
      case 2:
        queue.unshift(event);
        model.unshift(id);
        break;
      case 3:
        event.release();
        assertEquals(corr(queue.shift()), model.shift());
        break;
      case 4: {
        event.release();
        const origins = new Map<number, number>();
        queue.extract((e) => (origins.set(e.corr, e.origin), false), () => {});
        const expected = model.find((m) => origins.get(m) === 0);
        assertEquals(corr(queue.takeBroadcast()), expected);
        model = model.filter((m) => m !== expected);
        break;
      }
      default: {
        event.release();
        const k = 2 + random.below(4);
        const taken: number[] = [];
        const count = queue.extract((e) => e.corr % k === 0, (e) => taken.push(corr(e) as number));
        assertEquals(taken, model.filter((m) => m % k === 0));
        assertEquals(count, taken.length);
        model = model.filter((m) => m % k !== 0);
      }
    }
    assertEquals([queue.length, queue.peek()?.corr], [model.length, model[0]]);
  }
  while (queue.length > 0) assertEquals(corr(queue.shift()), model.shift());
  assertEquals([model.length, queue.shift(), pool.live], [0, null, 0]);
}

Deno.test("the ring agrees with an array", () => {
  for (let round = 0; round < 40; round++) withSeed(ringAgrees);
});

function ringAgrees(random: SeededRandom): void {
  const pool = new EventPool();
  const ring = new EventRing();
  const model: number[] = [];
  for (let id = 1; id <= 600; id++) {
    const step = random.below(7);
    if (step < 4) {
      const event = pool.acquire();
      event.corr = id;
      if (step === 0) ring.unshift(event);
      else ring.push(event);
      if (step === 0) model.unshift(id);
      else model.push(id);
    } else if (model.length > 0) {
      const at = step === 4 ? random.below(model.length) : 0;
      const event = step === 4 ? ring.take(at) : ring.shift();
      assertEquals(event.corr, model.splice(at, 1)[0]);
      event.release();
    }
    assertEquals(ring.length, model.length);
    for (let i = 0; i < model.length; i++) assertEquals(ring.at(i).corr, model[i]);
  }
  assertThrows(() => ring.at(ring.length), AssertionFault);
  while (ring.length > 0) ring.shift().release();
  assertThrows(() => ring.shift(), AssertionFault);
  assertEquals(pool.live, 0);
}
