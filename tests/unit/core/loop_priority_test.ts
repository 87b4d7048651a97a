import "../ffi/loaded_shim.ts";
import { assertEquals } from "@std/assert";
import { EventFd } from "../../../ffi/event_fd.ts";
import { ManualClock, MS } from "../../../src/base/clock.ts";
import { SILENT } from "../../../src/base/log.ts";
import { Loop } from "../../../src/core/loop.ts";
import { LoopPriority, type ThreadScheduling } from "../../../src/core/loop_priority.ts";

/** A thread whose processor time the test gives it. */
class FakeThread implements ThreadScheduling {
  readonly asked: boolean[] = [];
  /** What the next requests are answered; true when there is none. */
  readonly answers: boolean[] = [];
  cpu = 0;

  setRealtime(realtime: boolean): boolean {
    this.asked.push(realtime);
    return this.answers.shift() ?? true;
  }

  cpuNs(): number {
    return this.cpu;
  }
}

Deno.test("a loop that computes most of the time is no longer realtime, until it is mostly idle again", () => {
  const thread = new FakeThread();
  const priority = new LoopPriority(thread, 0);
  assertEquals([priority.permitted, priority.realtime, thread.asked], [true, true, [true]]);
  let nowNs = 0;
  const pass = (busyMs: number, ofMs: number): boolean => {
    thread.cpu += busyMs * MS;
    nowNs += ofMs * MS;
    priority.note(nowNs);
    return priority.realtime;
  };
  // 85 % of a second is allowed; what happens within one counts together.
  assertEquals([pass(850, 1000), pass(430, 500), pass(430, 500)], [true, true, false]);
  assertEquals([pass(510, 1000), pass(900, 1000), pass(500, 1000)], [false, false, false]);
  assertEquals([pass(490, 1000), pass(0, 5000), pass(860, 990), pass(0, 10)], [true, true, true, false]);
  assertEquals(thread.asked, [true, false, true, false]);
});

Deno.test("a process that may not have realtime threads is asked once", () => {
  const thread = new FakeThread();
  thread.answers.push(false);
  const priority = new LoopPriority(thread, 0);
  for (let i = 1; i < 10; i++) {
    thread.cpu += (i % 2) * 1000 * MS;
    priority.note(i * 1000 * MS);
  }
  assertEquals([priority.permitted, priority.realtime, thread.asked.length], [false, false, 1]);
  // Permission that is taken away while it runs: ordinary for good.
  const losing = new FakeThread();
  losing.answers.push(true, true, false);
  const lost = new LoopPriority(losing, 0);
  losing.cpu = 1000 * MS;
  lost.note(1000 * MS);
  assertEquals([lost.permitted, lost.realtime], [true, false]);
  lost.note(2000 * MS);
  lost.note(3000 * MS);
  assertEquals([lost.permitted, lost.realtime, losing.asked.length], [false, false, 3]);
});

Deno.test("the loop lets its priority be judged after each turn", () => {
  const clock = new ManualClock();
  const thread = new FakeThread();
  using loop = new Loop({ clock, log: SILENT, scheduling: thread });
  using bell = EventFd.create();
  loop.watch(bell.fd, 1, {
    onReady: () => {
      bell.drain();
      clock.advance(860 * MS);
      thread.cpu += 860 * MS;
    },
  });
  for (let i = 0; i < 2; i++) {
    bell.signal();
    loop.turn(0);
  }
  loop.unwatch(bell.fd);
  assertEquals([thread.asked, loop.priority?.realtime], [[true, false], false]);
  assertEquals([loop.turns.count, loop.turns.late], [2, 2]);
  using ordinary = new Loop({ clock, log: SILENT });
  assertEquals(ordinary.priority, null);
});
