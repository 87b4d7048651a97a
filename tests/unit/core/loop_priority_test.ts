import "../ffi/loaded_shim.ts";
import { assertEquals } from "@std/assert";
import { EventFd } from "../../../ffi/event_fd.ts";
import { ManualClock, MS } from "../../../src/base/clock.ts";
import { SILENT } from "../../../src/base/log.ts";
import { Loop } from "../../../src/core/loop.ts";
import { LoopPriority } from "../../../src/core/loop_priority.ts";

Deno.test("a loop that is busy most of the time is no longer realtime, until it is mostly idle again", () => {
  const asked: boolean[] = [];
  const priority = new LoopPriority((realtime) => asked.push(realtime) > 0, 0);
  assertEquals([priority.permitted, priority.realtime, asked], [true, true, [true]]);
  let nowNs = 0;
  const pass = (busyMs: number, ofMs: number): boolean => {
    nowNs += ofMs * MS;
    priority.note(busyMs * MS, nowNs);
    return priority.realtime;
  };
  // Half of the time is allowed; what happens within a window counts together.
  assertEquals([pass(50, 100), pass(30, 50), pass(30, 50)], [true, true, false]);
  assertEquals([pass(30, 100), pass(90, 100), pass(25, 100)], [false, false, false]);
  assertEquals([pass(24, 100), pass(0, 5000), pass(51, 99), pass(0, 1)], [true, true, true, false]);
  assertEquals(asked, [true, false, true, false]);
});

Deno.test("a process that may not have realtime threads is asked once", () => {
  let asked = 0;
  const priority = new LoopPriority(() => ++asked < 1, 0);
  for (let i = 1; i < 10; i++) priority.note((i % 2) * 100 * MS, i * 100 * MS);
  assertEquals([priority.permitted, priority.realtime, asked], [false, false, 1]);
  // Permission that is taken away while it runs: back to ordinary, for good.
  const answers = [true, true, false, true];
  const losing = new LoopPriority(() => answers.shift() ?? true, 0);
  losing.note(100 * MS, 100 * MS);
  assertEquals([losing.permitted, losing.realtime], [true, false]);
  losing.note(0, 200 * MS);
  losing.note(0, 300 * MS);
  assertEquals([losing.permitted, losing.realtime, answers.length], [false, false, 1]);
});

Deno.test("the loop tells its priority how long its turns took", () => {
  const clock = new ManualClock();
  const asked: boolean[] = [];
  using loop = new Loop({ clock, log: SILENT, setRealtime: (realtime) => asked.push(realtime) > 0 });
  using bell = EventFd.create();
  loop.watch(bell.fd, 1, { onReady: () => (bell.drain(), clock.advance(60 * MS)) });
  for (let i = 0; i < 2; i++) {
    bell.signal();
    loop.turn(0);
  }
  loop.unwatch(bell.fd);
  assertEquals([asked, loop.priority?.realtime], [[true, false], false]);
  assertEquals([loop.turns.count, loop.turns.late], [2, 2]);
  using ordinary = new Loop({ clock, log: SILENT });
  assertEquals(ordinary.priority, null);
});
