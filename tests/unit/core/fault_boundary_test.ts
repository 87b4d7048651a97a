import type { ControlId } from "../../../src/base/ids.ts";
import "../ffi/loaded_shim.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { monotonicClock } from "../../../ffi/clock.ts";
import { EventFd } from "../../../ffi/event_fd.ts";
import { AssertionFault } from "../../../src/base/assert.ts";
import { ManualClock, SECOND } from "../../../src/base/clock.ts";
import { Log, SILENT } from "../../../src/base/log.ts";
import { type ContainedFault, FaultBoundary } from "../../../src/core/fault_boundary.ts";
import { Loop } from "../../../src/core/loop.ts";

const IN = 1;

function broken(): never {
  throw new TypeError("odd\x1b[2J peer");
}

/** A bell that is rung, and a handler on it. */
function rung(): EventFd {
  const bell = EventFd.create();
  bell.signal();
  return bell;
}

Deno.test("a descriptor's callback that throws ends that one: the others of the turn are called", () => {
  const lines: string[] = [];
  const log = new Log("loop", "info", (line) => lines.push(line));
  const faults: ContainedFault[] = [];
  const boundary = new FaultBoundary(log, monotonicClock, (fault) => faults.push(fault));
  using loop = new Loop({ clock: monotonicClock, log, faults: boundary });
  using first = rung();
  using second = rung();
  using third = rung();
  let ended: unknown;
  let calls = 0;
  loop.watch(first.fd, IN, {
    onReady: broken,
    faultAccount: () => ({ name: "the first\n", principal: 7, control: 3 as ControlId }),
    onFault: (error) => {
      ended = error;
      loop.unwatch(first.fd);
    },
  });
  loop.watch(second.fd, IN, { onReady: broken });
  loop.watch(third.fd, IN, { onReady: () => (calls++, third.drain()) });
  // On a busy machine a turn may end after one callback: the rest comes in the next ones.
  for (let i = 0; i < 1000 && (calls === 0 || faults.length < 2); i++) loop.turn(0);
  assertEquals(calls, 1);
  assert(ended instanceof TypeError);
  assertEquals(loop.watched, 1, "one that cannot end itself is not watched any more, and does not spin");
  assertEquals(loop.faults.counts.get("descriptor"), 2);
  assertEquals(faults.map(({ place, account }) => [place, account.name]), [
    ["descriptor", "the first\n"],
    ["descriptor", "Object"],
  ]);
  for (const line of lines) assert(!line.includes("\n") && !line.includes("\x1b"), `made printable: ${line}`);
  assert(
    lines.some((line) => line.includes("fault_boundary_test.ts")),
    `the place is told: ${lines.join("; ")}`,
  );
  assert(lines.some((line) => line.includes("no longer watched")));
  loop.unwatch(third.fd);
});

Deno.test("a timer and a deferred task that throw: the others are called, and the owner is told", () => {
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  const told: string[] = [];
  let ran = 0;
  loop.arm({ onTimer: broken, onFault: () => told.push("timer") }, 1);
  loop.arm({ onTimer: () => ran++ }, 1);
  loop.defer(broken, { onFault: () => told.push("task") });
  loop.defer(broken);
  loop.defer(() => ran++);
  // The timers are due a millisecond later, and a turn of a busy machine may end after one callback.
  for (let i = 0; i < 1000 && (ran < 2 || told.length < 2 || loop.faults.total < 3); i++) loop.turn(1);
  assertEquals([ran, told.toSorted()], [2, ["task", "timer"]]);
  assertEquals([loop.faults.counts.get("timer"), loop.faults.counts.get("task")], [1, 2]);
  assertEquals([loop.armed, loop.faults.total], [0, 3]);
});

Deno.test("vmsig's own mistakes are loud: an assertion ends the loop, wherever it fails", () => {
  const wrong = (): never => {
    throw new AssertionFault("vmsig is wrong about itself");
  };
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  loop.defer(wrong);
  assertThrows(() => loop.turn(0), AssertionFault);
  loop.arm({ onTimer: wrong, onFault: () => {} }, 1);
  assertThrows(() => loop.turn(0), AssertionFault);
  loop.arm({ onTimer: broken, onFault: wrong }, 1);
  assertThrows(() => loop.turn(0), AssertionFault);
  using bell = rung();
  loop.watch(bell.fd, IN, { onReady: wrong, onFault: () => {} });
  assertThrows(() => loop.turn(0), AssertionFault);
  loop.unwatch(bell.fd);
  loop.everyTurn({
    turn: () => {
      throw new TypeError("of the core's own");
    },
    deadlineNs: () => Infinity,
    isLoaded: false,
  });
  assertThrows(() => loop.turn(0), TypeError);
});

Deno.test("a handler whose ending throws as well is as one that cannot end itself", () => {
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  using bell = rung();
  loop.watch(bell.fd, IN, { onReady: broken, onFault: broken, faultAccount: broken });
  loop.turn(0);
  assertEquals([loop.watched, loop.faults.total], [0, 1]);
});

Deno.test("a stack that is too deep is contained like anything else", () => {
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  const deeper = (): number => 1 + deeper();
  loop.defer(deeper);
  loop.turn(0);
  assertEquals(loop.faults.total, 1);
});

Deno.test("faults in heaps are counted, and told a few a second", () => {
  const clock = new ManualClock();
  const lines: string[] = [];
  const boundary = new FaultBoundary(new Log("loop", "info", (line) => lines.push(line)), clock);
  for (let i = 0; i < 1000; i++) boundary.contain("timer", new Error(`number ${i}`), {});
  assertEquals([boundary.total, lines.length], [1000, 10]);
  clock.advance(SECOND);
  boundary.contain("timer", new Error("later"), {});
  assertEquals(lines.length, 12);
  assert(lines[10]?.includes("count=990"), lines[10]);
});
