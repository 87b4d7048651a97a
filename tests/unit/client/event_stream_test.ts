/** A stream beyond its bound: what is dropped, in which order, how it is reported; URGENT never is. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { CLIENT_BUFFER_EVENTS, CLIENT_BUFFER_MAX_EVENTS } from "../../../src/base/limits.ts";
import { ClientEvent } from "../../../src/client/client_event.ts";
import { EventBacklog } from "../../../src/client/event_backlog.ts";
import { EventStream } from "../../../src/client/event_stream.ts";
import { KIND } from "../../../src/event/kind.ts";
import { PRIO, type Prio, PRIO_COUNT } from "../../../src/event/priority.ts";
import { madeFrame } from "../../../src/nats/wire/made_frames.ts";

/** Corr numbers it. */
function eventOf(corr: number, prio: Prio): ClientEvent {
  const frame = madeFrame({ kind: KIND.VGPU_STATUS, corr, prio }, () => {});
  return new ClientEvent(new DataView(frame.buffer), 0);
}

class Owner {
  rooms = 0;
  ends = 0;
  onRoom(): void {
    this.rooms++;
  }
  onStreamEnd(): void {
    this.ends++;
  }
}

Deno.test("backlog: order and drops are those of one list that is searched each time", () => {
  const backlog = new EventBacklog();
  let model: ClientEvent[] = [];
  let seed = 12;
  const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % below;
  for (let i = 1; i <= 20_000; i++) {
    const what = random(10);
    if (what < 5) {
      const event = eventOf(i, random(PRIO_COUNT) as Prio);
      backlog.push(event);
      model.push(event);
    } else if (what < 7) {
      assertEquals(backlog.shift()?.corr, model.shift()?.corr);
    } else if (what < 9 || random(50) > 0) {
      const lowest = Math.min(...model.map(({ prio }) => prio));
      const victim = lowest < PRIO.URGENT ? model.find(({ prio }) => prio === lowest) : undefined;
      assertEquals(backlog.shiftLowest()?.corr, victim?.corr);
      model = model.filter((event) => event !== victim);
    } else {
      assertEquals(backlog.drain().map(({ corr }) => corr), model.map(({ corr }) => corr));
      model = [];
    }
    assertEquals(backlog.length, model.length);
  }
});

Deno.test("stream: past its bound the oldest of the lowest priority go, counted; what is urgent stays", async () => {
  const owner = new Owner();
  const stream = new EventStream(owner, {});
  const urgent = 100;
  const all = 3 * CLIENT_BUFFER_MAX_EVENTS;
  for (let i = 1; i <= all; i++) {
    stream.push(
      eventOf(i, i % (all / urgent | 0) === 1 ? PRIO.URGENT : i % 2 === 0 ? PRIO.BULK : PRIO.NORMAL),
    );
  }
  assertEquals([stream.buffered, stream.full], [CLIENT_BUFFER_MAX_EVENTS, true]);
  const { value: told } = await stream.next();
  assertEquals(told?.as("OVERRUN"), {
    lost: all - CLIENT_BUFFER_MAX_EVENTS,
    highestPrioLost: PRIO.NORMAL,
  });
  const kept: ClientEvent[] = [];
  while (stream.buffered > 0) kept.push((await stream.next()).value as ClientEvent);
  assertEquals(kept.length, CLIENT_BUFFER_MAX_EVENTS);
  assert(kept.every(({ corr }, i) => i === 0 || corr > (kept[i - 1] as ClientEvent).corr), "in their order");
  assert(kept.filter(({ prio }) => prio === PRIO.URGENT).length >= urgent, "every urgent one is there");
  assertEquals(kept.filter(({ prio }) => prio === PRIO.BULK).length, 0, "BULK went first");
  assertEquals(owner.rooms, 1, "room was told once, on the way down");
  assert(CLIENT_BUFFER_EVENTS < CLIENT_BUFFER_MAX_EVENTS);
});

Deno.test("stream: too many urgent events end it with a fault, and none of those that waited is lost", async () => {
  const owner = new Owner();
  const stream = new EventStream(owner, {});
  for (let i = 0; i <= CLIENT_BUFFER_MAX_EVENTS; i++) stream.push(eventOf(i + 1, PRIO.URGENT));
  assertEquals(owner.ends, 1);
  for (let i = 0; i <= CLIENT_BUFFER_MAX_EVENTS; i++) {
    assertEquals(((await stream.next()).value as ClientEvent).corr, i + 1);
  }
  const fault = await assertRejects(() => stream.next(), Fault);
  assertEquals(fault.code, "too-large");
});
