import { assertEquals } from "@std/assert";
import { type EndpointMask, fullGrant, type Grant, maskHas } from "../../../src/access/grant.ts";
import { SUBSCRIBE_ALL } from "../../../src/access/subscription.ts";
import { ManualClock, MS } from "../../../src/base/clock.ts";
import type { ControlId, EndpointId } from "../../../src/base/ids.ts";
import type { Control } from "../../../src/core/control_port.ts";
import { ControlSlot } from "../../../src/core/control_slot.ts";
import { FanOut } from "../../../src/core/fan_out.ts";
import { Retained } from "../../../src/core/retained.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { KIND } from "../../../src/event/kind.ts";
import { PRIO } from "../../../src/event/priority.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { EventPool } from "../../../src/event/transfer_event.ts";
import { type SeededRandom, withSeed } from "../../fixtures/seeded_random.ts";

const pool = new EventPool();

/** A control that counts what it is given, and notes in `flushed` when it may send. */
function slotOf(
  id: number,
  grant: Grant,
  flushed: (id: number) => void = () => {},
): ControlSlot & { got: number } {
  let got = 0;
  const control: Control = {
    name: `control ${id}`,
    subscription: SUBSCRIBE_ALL,
    open: () => {},
    deliver: () => got++,
    flush: () => flushed(id),
    close: () => {},
  };
  const slot = new ControlSlot(id as ControlId, control, grant);
  return Object.defineProperty(slot, "got", { get: () => got }) as ControlSlot & { got: number };
}

function deliver(fanOut: FanOut, endpoint: number): void {
  const event = pool.acquire();
  event.kind = KIND.VM_LIFECYCLE;
  event.source = SOURCE.VMHOST;
  event.prio = PRIO.HIGH;
  event.endpoint = endpoint as EndpointId;
  fanOut.deliver(event);
  event.release();
}

function randomGrant(random: SeededRandom): Grant {
  const endpoints: EndpointMask = { lo: random.u32(), hi: random.u32() };
  return { ...fullGrant(1000), endpoints, caps: random.oneIn(2) ? ALL_CAPS : ALL_CAPS & ~CAP.AUDIT };
}

Deno.test("seeded: controls that come, go and are granted more or less get the events of their endpoints, each once", () => {
  withSeed((random) => {
    const fanOut = new FanOut(new Retained(), new ManualClock());
    const slots: (ControlSlot & { got: number })[] = [];
    for (let step = 0; step < 1500; step++) {
      const one = slots[random.below(slots.length)];
      const choice = random.below(5);
      if (choice === 0 || one === undefined) {
        const slot = slotOf(step + 1, randomGrant(random));
        slots.push(slot);
        fanOut.add(slot);
      } else if (choice === 1 && slots.length > 5) {
        fanOut.remove(one);
        slots.splice(slots.indexOf(one), 1);
      } else if (choice === 2) fanOut.regrant(one, randomGrant(random));
      else {
        const endpoint = random.below(64);
        const before = slots.map((slot) => slot.got);
        deliver(fanOut, endpoint);
        const gained = slots.map((slot, i) => slot.got - (before[i] as number));
        assertEquals(gained, slots.map((slot) => (maskHas(slot.endpoints, endpoint) ? 1 : 0)));
      }
      fanOut.flush();
      let entries = 0;
      for (const { endpoints } of slots) {
        for (let endpoint = 0; endpoint < 64; endpoint++) if (maskHas(endpoints, endpoint)) entries++;
      }
      assertEquals(fanOut.reach, entries / 64);
      assertEquals(fanOut.auditors, slots.filter((slot) => slot.isAuditor).length);
    }
    assertEquals(pool.live, 0);
  });
});

Deno.test("a flush stops when its time is over; who was not served comes first in the next one", () => {
  const clock = new ManualClock();
  const fanOut = new FanOut(new Retained(), clock);
  let flushed: number[] = [];
  const slots = Array.from({ length: 20 }, (_, i) =>
    slotOf(i, fullGrant(1000), (id) => {
      flushed.push(id);
      clock.advance(MS);
    }));
  for (const slot of slots) fanOut.add(slot);
  deliver(fanOut, 0);
  const flush = (ms: number): number[] => {
    flushed = [];
    fanOut.flush(ms * MS);
    return flushed;
  };
  const ids = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  assertEquals([flush(8), fanOut.isDirty], [ids(0, 8), true]);
  // One that leaves is served before it goes, out of turn; one that has nothing to send is not.
  flushed = [];
  fanOut.flushLast(slots[12] as ControlSlot);
  fanOut.flushLast(slots[0] as ControlSlot);
  assertEquals(flushed, [12]);
  deliver(fanOut, 1);
  assertEquals(flush(16), [...ids(8, 12), ...ids(13, 20), ...ids(0, 5)]);
  assertEquals([flush(100), fanOut.isDirty], [[5, 6, 7, 12], false]);
  assertEquals(flush(100), []);
});
