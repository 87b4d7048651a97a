import type { EndpointId } from "../../../src/base/ids.ts";
import "../ffi/loaded_shim.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { monotonicClock } from "../../../ffi/clock.ts";
import { EventFd } from "../../../ffi/event_fd.ts";
import { ManualClock, MS } from "../../../src/base/clock.ts";
import { Log, SILENT } from "../../../src/base/log.ts";
import { Histogram } from "../../../src/core/histogram.ts";
import { Ledger } from "../../../src/core/ledger.ts";
import { Loop } from "../../../src/core/loop.ts";
import { Timers } from "../../../src/core/timers.ts";
import { EventPool } from "../../../src/event/transfer_event.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

const IN = 1;

Deno.test("the loop calls back who is watched, and nobody who is not any more", () => {
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  using a = EventFd.create();
  using b = EventFd.create();
  const called: string[] = [];
  const handlerB = { onReady: () => called.push("b") };
  loop.watch(a.fd, IN, {
    onReady: () => {
      called.push("a");
      a.drain();
      // Both are ready in this turn; b is put away, and another takes the same number.
      loop.unwatch(b.fd);
      loop.watch(b.fd, IN, { onReady: () => (b.drain(), called.push("c")) });
    },
  });
  loop.watch(b.fd, IN, handlerB);
  assertEquals(loop.watched, 2);
  a.signal();
  b.signal();
  loop.turn(0);
  assert(called.includes("a"));
  assertEquals(called.filter((name) => name === "b").length, called[0] === "b" ? 1 : 0);
  loop.turn(0);
  assertEquals(called.at(-1), "c");
  loop.turn(0);
  assertEquals(called.filter((name) => name === "c").length, 1);
  assertThrows(() => loop.watch(a.fd, IN, handlerB));
  loop.unwatch(a.fd);
  loop.unwatch(b.fd);
  loop.unwatch(b.fd);
  assertEquals(loop.watched, 0);
});

Deno.test("a turn: callbacks, timers, the hook, then what was deferred; the hook's deadline wakes it", () => {
  const clock = new ManualClock();
  using loop = new Loop({ clock, log: SILENT });
  const order: string[] = [];
  const deadlines = [Infinity];
  loop.everyTurn({
    turn: () => order.push("hook"),
    deadlineNs: () => deadlines[0] as number,
    isLoaded: false,
  });
  using bell = EventFd.create();
  loop.watch(bell.fd, IN, { onReady: () => (bell.drain(), order.push("fd")) });
  const timer = { onTimer: () => order.push("timer") };
  loop.arm(timer, clock.nowNs() + 5);
  loop.defer(() => order.push("deferred"));
  bell.signal();
  loop.turn(-1);
  assertEquals(order, ["fd", "hook", "deferred"]);
  clock.advance(5);
  loop.turn(-1);
  assertEquals(order.slice(3), ["timer", "hook"]);
  assertEquals(loop.armed, 0);
  // Would wait for ever without a deadline; with one in the past it does not.
  deadlines[0] = clock.nowNs();
  loop.turn(-1);
  assertEquals(order.slice(5), ["hook"]);
  assertEquals(loop.turns.count, 3);
  loop.unwatch(bell.fd);
});

Deno.test("a process that was away hears what came meanwhile before it finds that nothing came in time", () => {
  const order: string[] = [];
  using bell = EventFd.create();
  // It rings, and time passes, between the end of the wait and the look at the clock.
  const clock = new ManualClock();
  let isAway = false;
  using loop = new Loop({
    clock: {
      nowNs: () => {
        if (isAway) {
          isAway = false;
          bell.signal();
          clock.advance(5000 * MS);
        }
        return clock.nowNs();
      },
    },
    log: SILENT,
  });
  loop.watch(bell.fd, IN, { onReady: () => (bell.drain(), order.push("heard")) });
  loop.arm({ onTimer: () => order.push("too late") }, clock.nowNs() + 1000 * MS);
  loop.turn(0);
  isAway = true;
  loop.turn(0);
  assertEquals(order, ["heard", "too late"]);
  loop.unwatch(bell.fd);
});

Deno.test("a turn is short: what is ready and due beyond its time waits for the next ones, and keeps its place", () => {
  const clock = new ManualClock();
  using loop = new Loop({ clock, log: SILENT });
  const order: string[] = [];
  const bells = ["a", "b", "c", "d"].map((name) => {
    const bell = EventFd.create();
    loop.watch(bell.fd, IN, { onReady: () => (bell.drain(), order.push(name), clock.advance(MS)) });
    bell.signal();
    return bell;
  });
  const timer = (name: string) => ({ onTimer: () => (order.push(name), clock.advance(2 * MS)) });
  const [x, y] = [timer("x"), timer("y")];
  loop.arm(x, clock.nowNs());
  loop.arm(y, clock.nowNs());
  const turn = () => {
    order.length = 0;
    loop.turn(-1);
    return order.join("");
  };
  // Callbacks of 1 ms each: a second one may begin, a third may not; of the timers one is called every time.
  const first = turn();
  assertEquals([first.length, first.at(-1)], [3, "x"]);
  bells[0]?.signal();
  const second = turn();
  assertEquals([first.slice(0, 2) + second.slice(0, 2), second.at(-1)].sort().join(""), "abcdy");
  // The loop's own alarm may have been the last one.
  assertEquals(turn() || turn(), "a");
  for (const bell of bells) {
    loop.unwatch(bell.fd);
    bell[Symbol.dispose]();
  }
});

Deno.test("a turn ends early when its callbacks have left the core enough, and the next comes at once when the core asks for it", () => {
  using loop = new Loop({ clock: new ManualClock(), log: SILENT });
  let called = 0;
  let turns = 0;
  using a = EventFd.create();
  using b = EventFd.create();
  const hook = { turn: () => turns++, deadlineNs: () => (turns < 3 ? 0 : Infinity), isLoaded: true };
  loop.everyTurn(hook);
  for (const bell of [a, b]) loop.watch(bell.fd, IN, { onReady: () => (bell.drain(), called++) });
  a.signal();
  b.signal();
  loop.turn(-1);
  assertEquals([called, turns], [1, 1]);
  loop.turn(-1);
  assertEquals([called, turns], [2, 2]);
  // Nothing is ready any more; it would wait for ever.
  loop.turn(-1);
  assertEquals([called, turns], [2, 3]);
  loop.unwatch(a.fd);
  loop.unwatch(b.fd);
});

Deno.test("a descriptor that is unwatched while its event waits for the next turn is not called any more", () => {
  const clock = new ManualClock();
  using loop = new Loop({ clock, log: SILENT });
  using a = EventFd.create();
  using b = EventFd.create();
  const called: string[] = [];
  const watch = (name: string, bell: EventFd) =>
    loop.watch(bell.fd, IN, { onReady: () => (bell.drain(), called.push(name), clock.advance(2 * MS)) });
  watch("a", a);
  watch("b", b);
  a.signal();
  b.signal();
  loop.turn(0);
  assertEquals(called.length, 1);
  const [left, name] = called[0] === "a" ? [b, "b2"] : [a, "a2"];
  loop.unwatch(left.fd);
  watch(name, left);
  loop.turn(0);
  assertEquals(called.length, 1);
  loop.turn(0);
  assertEquals(called[1], name);
  loop.unwatch(a.fd);
  loop.unwatch(b.fd);
});

Deno.test("run goes on until stop, and a deferred task that fails is not swallowed", () => {
  const lines: string[] = [];
  using loop = new Loop({ clock: monotonicClock, log: new Log("test", "info", (line) => lines.push(line)) });
  let turns = 0;
  const again = {
    onTimer: () => (++turns === 3 ? loop.stop() : loop.arm(again, monotonicClock.nowNs() + MS)),
  };
  loop.arm(again, 0);
  loop.run();
  assertEquals([turns, loop.stopped], [3, true]);
  loop.defer(() => {
    throw new Error("deferred");
  });
  let ran = false;
  loop.defer(() => (ran = true));
  loop.turn(0);
  assert(ran, "the tasks behind it are run");
  assertEquals(loop.faults.counts.get("task"), 1);
  assert(lines.some((line) => line.includes("deferred")), lines.join());
});

Deno.test("a loop that is left returns at the end of the turn, and is run again", () => {
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  const ran: string[] = [];
  loop.defer(() => loop.leave());
  loop.defer(() => ran.push("the turn's end"));
  loop.run();
  assertEquals([ran, loop.stopped], [["the turn's end"], false]);
  loop.defer(() => loop.stop());
  loop.run();
  assert(loop.stopped);
});

Deno.test("runYielding lets promises run between turns", async () => {
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  let ticks = 0;
  const interval = setInterval(() => (++ticks === 3 && loop.stop()), 1);
  await loop.runYielding();
  clearInterval(interval);
  assert(ticks >= 3);
});

Deno.test("timers agree with a plain map", () => {
  withSeed((random) => {
    const timers = new Timers();
    const model = new Map<number, number>();
    const fired: number[] = [];
    const handlers = Array.from({ length: 12 }, (_, id) => ({ onTimer: () => fired.push(id) }));
    for (let step = 0, now = 0; step < 2000; step++) {
      const id = random.below(12);
      const handler = handlers[id]!;
      switch (random.below(4)) {
        case 0: {
          const at = random.oneIn(10) ? Infinity : now + random.below(50);
          timers.arm(handler, at);
          if (at === Infinity) model.delete(id);
          else model.set(id, at);
          break;
        }
        case 1:
          timers.disarm(handler);
          model.delete(id);
          break;
        default: {
          now += random.below(10);
          fired.length = 0;
          timers.fire(now);
          const due = [...model].filter(([, at]) => at <= now).map(([key]) => key);
          assertEquals([...fired].sort(), due.sort());
          for (const key of due) model.delete(key);
        }
      }
      assertEquals(timers.size, model.size);
      assertEquals(timers.earliestNs, Math.min(Infinity, ...model.values()));
    }
  });
});

Deno.test("a timer that arms itself for now, or disarms another of the same round", () => {
  const timers = new Timers();
  const fired: string[] = [];
  const a = { onTimer: () => (fired.push("a"), timers.arm(a, 0), timers.disarm(b)) };
  const b = { onTimer: () => fired.push("b") };
  timers.arm(a, 1);
  timers.arm(b, 2);
  timers.fire(5);
  assertEquals(fired, ["a"]);
  assertEquals([timers.size, timers.earliestNs], [1, 0]);
  timers.fire(5);
  assertEquals(fired, ["a", "a"]);
});

Deno.test("a histogram counts in powers of two and bounds its quantiles", () => {
  const histogram = new Histogram();
  assertEquals([histogram.count, histogram.quantileNs(0.5)], [0, 0]);
  for (const ns of [0, 1, 2, 3, 1000, 2 ** 31, 2 ** 33, 2 ** 60]) histogram.note(ns);
  assertEquals(histogram.count, 8);
  assertEquals([histogram.counts[0], histogram.counts[1], histogram.counts[2], histogram.counts[10]], [
    1,
    1,
    2,
    1,
  ]);
  assertEquals([histogram.counts[32], histogram.counts[34], histogram.counts[39]], [1, 1, 1]);
  assertEquals(histogram.maxNs, 2 ** 60);
  assert(histogram.quantileNs(0.5) >= 3 && histogram.quantileNs(0.5) <= 4);
});

Deno.test("the ledger gives each command a ticket that fits once", () => {
  withSeed((random) => {
    const ledger = new Ledger();
    const pool = new EventPool();
    const open = new Map<number, number>();
    const closed: number[] = [];
    const whose = { principal: 5, as: "token:alice" };
    for (let step = 0; step < 3000; step++) {
      if (random.oneIn(2)) {
        const command = pool.acquire();
        command.corr = step;
        command.endpoint = (step % 3) as EndpointId;
        const ticket = ledger.open(command, -1, whose);
        command.release();
        assert(ticket > 0 && !open.has(ticket) && !closed.includes(ticket), "a fresh ticket");
        open.set(ticket, step);
      } else {
        const ticket = [...open.keys()][random.below(open.size)];
        if (ticket === undefined) continue;
        const index = ledger.find(ticket);
        assertEquals([ledger.corr(index), ledger.whose(index)], [open.get(ticket), whose]);
        ledger.close(index);
        open.delete(ticket);
        closed.push(ticket);
      }
      assertEquals(ledger.count, open.size);
      if (step % 100 > 0) continue;
      for (const ticket of closed) assertEquals(ledger.find(ticket), -1);
      for (const endpoint of [0, 1, 2]) {
        const expected = [...open].filter(([, corr]) => corr % 3 === endpoint).map(([ticket]) => ticket);
        assertEquals(ledger.ticketsOf(endpoint as EndpointId).sort(), expected.sort());
      }
    }
    for (const nonsense of [0, -1, 65_535, 2 ** 47, 1.5]) assertEquals(ledger.find(nonsense), -1);
  });
});
