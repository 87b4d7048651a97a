/** Tasks that come many at a time run one per turn, in order, and can be replaced. */
import { assertEquals } from "@std/assert";
import { monotonicClock } from "../../../ffi/clock.ts";
import { SILENT } from "../../../src/base/log.ts";
import { Loop } from "../../../src/core/loop.ts";
import { TurnQueue } from "../../../src/daemon/turn_queue.ts";

Deno.test("a queue of tasks runs one per turn, in order", () => {
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  const queue = new TurnQueue(loop);
  const ran: number[] = [];
  queue.replace([1, 2, 3].map((n) => () => ran.push(n)));
  const counts: number[] = [];
  while (ran.length < 3) {
    loop.turn(1000);
    counts.push(ran.length);
  }
  assertEquals(ran, [1, 2, 3]);
  assertEquals(counts.every((count, i) => count <= i + 1), true, "no turn runs two");
  assertEquals(loop.armed, 0);
});

Deno.test("what is replaced or cleared does not run, and a task may replace its own queue", () => {
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  const queue = new TurnQueue(loop);
  const ran: string[] = [];
  queue.replace([() => ran.push("old")]);
  queue.replace([
    () => {
      ran.push("first");
      queue.replace([() => ran.push("instead")]);
    },
    () => ran.push("dropped"),
  ]);
  while (loop.armed > 0) loop.turn(1000);
  assertEquals(ran, ["first", "instead"]);
  queue.replace([() => ran.push("never")]);
  queue.clear();
  assertEquals(loop.armed, 0);
  loop.turn(0);
  assertEquals(ran, ["first", "instead"]);
});

Deno.test("a task that throws is contained, and the next one runs", () => {
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  const queue = new TurnQueue(loop);
  const ran: number[] = [];
  queue.replace([() => {
    throw new Error("one piece fails");
  }, () => ran.push(2)]);
  while (loop.armed > 0) loop.turn(1000);
  assertEquals(ran, [2]);
  assertEquals(loop.faults.total, 1);
});
