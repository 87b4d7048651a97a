import { assertEquals } from "@std/assert";
import { MS, SECOND } from "../../../../src/base/clock.ts";
import { LinkOutlook } from "../../../../src/qemu/monitor/link_outlook.ts";
import { LinkPulse } from "../../../../src/qemu/monitor/link_pulse.ts";

Deno.test("pulse: QEMU's own monitor is asked after 1.25 s of quiet, and silent 2.75 s after its last word", () => {
  const pulse = new LinkPulse();
  pulse.heard(10 * SECOND);
  assertEquals(pulse.firstLookNs(10 * SECOND), 11_250 * MS);
  assertEquals(pulse.check(11 * SECOND), { act: "wait", untilNs: 11_250 * MS });
  assertEquals(pulse.check(11_250 * MS), { act: "ask", untilNs: 12_500 * MS });
  assertEquals(pulse.secondLookNs(), undefined);
  assertEquals(pulse.check(12_500 * MS), { act: "wait", untilNs: 12_750 * MS });
  assertEquals(pulse.check(12_750 * MS), { act: "silent" });
  pulse.heard(12_700 * MS);
  assertEquals(pulse.secondLookNs(), 14_000 * MS);
});

Deno.test("pulse: a monitor that is passed on is asked as seldom as its way says, from then on", () => {
  let quietNs = 10 * SECOND;
  const pulse = new LinkPulse(new LinkOutlook(), () => quietNs);
  pulse.heard(0);
  assertEquals(pulse.firstLookNs(0), 10 * SECOND);
  assertEquals(pulse.check(9 * SECOND), { act: "wait", untilNs: 10 * SECOND });
  assertEquals(pulse.check(10 * SECOND), { act: "ask", untilNs: 11_250 * MS });
  assertEquals(pulse.check(11_250 * MS), { act: "wait", untilNs: 11_500 * MS });
  assertEquals(pulse.check(11_500 * MS), { act: "silent" });
  pulse.heard(12 * SECOND);
  quietNs = 1.25 * SECOND;
  assertEquals(pulse.check(13_250 * MS), { act: "ask", untilNs: 14_500 * MS });
});
