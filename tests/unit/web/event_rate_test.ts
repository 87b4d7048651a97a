import { assertEquals } from "@std/assert";
import { EventRate } from "../../../src/web/event_rate.ts";

Deno.test("the rate of the last ten seconds, by source; what is older is forgotten", () => {
  let nowMs = 0;
  const rate = new EventRate(() => nowMs);
  assertEquals(rate.told(), { perSecond: {}, lost: 0 });
  for (let i = 0; i < 20; i++) rate.note("CORE", 0);
  assertEquals(rate.told().perSecond, { CORE: 20 });
  nowMs = 9999;
  rate.note("INPUT", 3);
  assertEquals(rate.told(), { perSecond: { CORE: 2, INPUT: 0.1 }, lost: 3 });
  nowMs = 10_000;
  assertEquals(rate.told().perSecond, { INPUT: 0.1 });
  nowMs = 1e9;
  assertEquals(rate.told(), { perSecond: {}, lost: 3 });
  rate.note("CORE", 0);
  assertEquals(rate.told().perSecond, { CORE: 0.1 });
});
