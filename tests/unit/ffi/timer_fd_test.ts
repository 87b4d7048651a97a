import { assert, assertEquals } from "@std/assert";
import { MS } from "../../../src/base/clock.ts";
import { monotonicClock } from "../../../ffi/clock.ts";
import { IN, Poller } from "../../../ffi/poller.ts";
import { TimerFd } from "../../../ffi/timer_fd.ts";
import "./loaded_shim.ts";

Deno.test("it fires at its absolute deadline and not before", () => {
  using poller = new Poller();
  using timer = TimerFd.create();
  poller.add(timer.fd, IN, 1);
  const deadline = monotonicClock.nowNs() + 3 * MS + 137;
  timer.armAt(deadline);
  assertEquals(timer.drain(), 0);
  assertEquals(poller.wait(-1), 1);
  assert(monotonicClock.nowNs() >= deadline);
  assertEquals(timer.drain(), 1);
  assertEquals(timer.drain(), 0);
  assertEquals(poller.wait(0), 0);
});

Deno.test("a deadline that is past fires at once", () => {
  using poller = new Poller();
  using timer = TimerFd.create();
  poller.add(timer.fd, IN, 1);
  for (const deadline of [monotonicClock.nowNs() - 1, 0, -5]) {
    timer.armAt(deadline);
    assertEquals(poller.wait(-1), 1);
    assertEquals(timer.drain(), 1);
  }
});

Deno.test("disarm and Infinity take the deadline away", () => {
  using poller = new Poller();
  using timer = TimerFd.create();
  poller.add(timer.fd, IN, 1);
  timer.armAt(1);
  timer.disarm();
  assertEquals(poller.wait(0), 0);
  timer.armAt(monotonicClock.nowNs() + MS);
  timer.armAt(Infinity);
  assertEquals(poller.wait(5), 0);
});

Deno.test("a later deadline replaces an earlier one", () => {
  using poller = new Poller();
  using timer = TimerFd.create();
  poller.add(timer.fd, IN, 1);
  timer.armAt(monotonicClock.nowNs() + 100_000 * MS);
  const deadline = monotonicClock.nowNs() + 2 * MS;
  timer.armAt(deadline);
  assertEquals(poller.wait(-1), 1);
  assert(monotonicClock.nowNs() >= deadline);
});

Deno.test("the clocks go forward and agree with the machine's", () => {
  let last = monotonicClock.nowNs();
  for (let i = 0; i < 1000; i++) {
    const now = monotonicClock.nowNs();
    assert(now >= last);
    last = now;
  }
  const uptimeNs = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1e9;
  // /proc/uptime counts suspend too, and is rounded to 10 ms.
  assert(last <= uptimeNs + 60_000 * MS);
});
