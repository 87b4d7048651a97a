/**
 * When a guest is looked at: not in firmware, not while paused, again with a growing pause, never once it is
 * found, and never by an answer of another boot.
 * @module
 */
import { assertEquals } from "@std/assert";
import type { GuestContext } from "../../../../src/adapters/memctx/context_event.ts";
import { GuestWatch } from "../../../../src/adapters/memctx/guest_watch.ts";
import type { ScanAnswer, ScanRequest } from "../../../../src/adapters/memctx/scan_port.ts";
import type { SharedRam } from "../../../../src/adapters/memctx/shared_ram.ts";
import { MS, SECOND } from "../../../../src/base/clock.ts";
import type { LoopPort, TimerHandler } from "../../../../src/core/adapter_port.ts";
import type { QmpReplyHandler } from "../../../../src/qemu/protocol/qmp_client.ts";

const FIRMWARE = "CPU#0\nCPL=0\nCR0=00000011 CR3=00000000\nEFER=0000000000000000\n";
const LONG_MODE = "CPU#0\nCPL=0\nCR0=80050033 CR3=0000000000abc000\nEFER=0000000000000d01\n";
const FOUND: ScanAnswer = {
  outcome: "found",
  kind: "linux",
  architecture: "x86-64",
  version: "6.1.0",
  root: 0x2000,
  levels: 4,
  variant: 0,
  isolated: true,
  settled: true,
  identity: "a",
  foundAt: 0x5000,
  ms: 1,
};
const NONE: ScanAnswer = { outcome: "none", reason: "no-kernel", detail: "no note" };
const RAM = { pid: 7, pieces: [], scanFiles: () => [] } as unknown as SharedRam;

class Bench {
  nowNs: number = SECOND;
  armedNs = Infinity;
  readonly asked: QmpReplyHandler[] = [];
  readonly scans: { request: ScanRequest; done: (answer: ScanAnswer) => void }[] = [];
  readonly found: GuestContext[] = [];
  readonly unknown: string[] = [];
  lost = 0;
  /** What query-migrate tells. */
  migration: Record<string, string> = {};
  readonly watch: GuestWatch;

  constructor() {
    const loop = {
      clock: { nowNs: () => this.nowNs },
      arm: (_handler: TimerHandler, deadlineNs: number) => (this.armedNs = deadlineNs),
      disarm: () => (this.armedNs = Infinity),
    } as unknown as LoopPort;
    this.watch = new GuestWatch({
      loop,
      link: {
        execute: (command, _args, handler) => {
          if (command === "query-migrate") handler({ outcome: "done", value: this.migration }, 0);
          else this.asked.push(handler);
        },
      },
      scanner: { scan: (request, done) => this.scans.push({ request, done }) },
      guest: "auto",
      name: "vm",
      listener: {
        onGuest: (guest) => this.found.push(guest),
        onGuestLost: () => this.lost++,
        onUnknownGuest: (detail) => this.unknown.push(detail),
      },
    });
    this.watch.setRunning(true);
  }

  registers(text: string): void {
    this.asked.shift()?.({ outcome: "done", value: text }, 0);
  }

  answer(answer: ScanAnswer): void {
    this.scans.shift()?.done(answer);
  }

  /** Lets the armed deadline come; how long that was, ms. */
  wait(): number {
    const waitedNs = this.armedNs - this.nowNs;
    this.nowNs = this.armedNs;
    this.armedNs = Infinity;
    this.watch.onTimer();
    return waitedNs / MS;
  }

  get state(): [asked: number, scans: number, armed: boolean] {
    return [this.asked.length, this.scans.length, this.armedNs !== Infinity];
  }
}

Deno.test("firmware is not scanned; the pauses grow to 2 s; a found guest is left alone", () => {
  const bench = new Bench();
  bench.watch.start(RAM, true);
  const pauses: number[] = [];
  for (let i = 0; i < 7; i++) {
    bench.registers(FIRMWARE);
    assertEquals(bench.state, [0, 0, true], "no scan without paging");
    pauses.push(bench.wait());
  }
  assertEquals(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
  bench.registers(LONG_MODE);
  assertEquals(bench.scans[0]?.request.liveRoot, 0xabc000);
  bench.answer(FOUND);
  assertEquals(bench.found, [{
    kind: "linux",
    architecture: "x86-64",
    root: 0x2000,
    levels: 4,
    variant: 0,
    isolated: true,
  }]);
  assertEquals(bench.state, [0, 0, false], "idle costs nothing");
});

Deno.test("firmware that goes nowhere is asked every 5 s; the kernel that it starts at last is awaited as closely as any", () => {
  const bench = new Bench();
  bench.watch.start(RAM, true);
  const pauses: number[] = [];
  while (bench.nowNs < 90 * SECOND) {
    bench.registers(FIRMWARE);
    pauses.push(bench.wait());
  }
  assertEquals(pauses.slice(5, 33), new Array(28).fill(2000));
  assertEquals(pauses.slice(35, 38), [4000, 5000, 5000]);
  bench.registers(LONG_MODE);
  bench.answer(NONE);
  assertEquals(bench.wait(), 100);
});

Deno.test("a paused VM is looked at once, and again when it runs", () => {
  const bench = new Bench();
  bench.watch.setRunning(false);
  bench.watch.start(RAM, true);
  bench.registers(FIRMWARE);
  assertEquals(bench.state, [0, 0, false]);
  bench.watch.setRunning(true);
  bench.wait();
  assertEquals(bench.state, [1, 0, false]);
  bench.watch.setRunning(false);
  bench.registers(LONG_MODE);
  bench.answer(NONE);
  assertEquals(bench.state, [0, 0, false]);
});

Deno.test("answers of an earlier boot are dropped, whichever was under way", () => {
  const bench = new Bench();
  bench.watch.start(RAM, true);
  bench.watch.start(RAM, false);
  bench.registers(LONG_MODE);
  assertEquals(bench.state, [0, 0, true], "registers asked for before the reset say nothing");
  bench.wait();
  bench.registers(LONG_MODE);
  bench.watch.start(RAM, false);
  bench.answer(FOUND);
  assertEquals(bench.found, [], "nor does a scan");
  bench.wait();
  bench.watch.stop();
  bench.registers(LONG_MODE);
  assertEquals(bench.state, [0, 0, false]);
});

Deno.test("a kernel without a user process is awaited, but not for ever", () => {
  const bench = new Bench();
  bench.watch.start(RAM, true);
  for (let i = 0; bench.found.length === 0; i++) {
    assertEquals(i < 20, true, "it ends");
    bench.registers(LONG_MODE);
    bench.answer({ ...FOUND, settled: false, isolated: false });
    if (bench.found.length === 0) bench.wait();
  }
  assertEquals(bench.nowNs - SECOND >= 10 * SECOND, true);
});

Deno.test("a system that nobody knows is told once, and looked at seldom from then on", () => {
  const bench = new Bench();
  bench.watch.start(RAM, true);
  let longestMs = 0;
  for (let i = 0; i < 80; i++) {
    bench.registers(LONG_MODE);
    bench.answer(NONE);
    longestMs = Math.max(longestMs, bench.wait());
  }
  assertEquals(bench.unknown, ["no note"]);
  assertEquals(longestMs, 30_000);
});

Deno.test("a monitor that does not answer, and a scanner that fails, are tried again", () => {
  const bench = new Bench();
  bench.watch.start(RAM, true);
  bench.asked.shift()?.({ outcome: "timed-out" }, 0);
  assertEquals(bench.state, [0, 0, true]);
  bench.wait();
  bench.registers(LONG_MODE);
  bench.answer({ outcome: "failed", detail: "gone" });
  assertEquals(bench.state, [0, 0, true]);
  assertEquals(bench.unknown, []);
});

/** A bench whose guest was found. */
function foundBench(): Bench {
  const bench = new Bench();
  bench.watch.start(RAM, true);
  bench.registers(LONG_MODE);
  bench.answer(FOUND);
  return bench;
}

Deno.test("a VM that runs again is asked once whether its kernel is still there, and where it was is looked at first", () => {
  const bench = foundBench();
  bench.watch.prove();
  bench.registers(LONG_MODE);
  assertEquals(bench.scans[0]?.request.foundAt, 0x5000);
  bench.watch.prove();
  bench.watch.prove();
  assertEquals(bench.state, [0, 1, false], "one proof at a time");
  bench.answer(FOUND);
  bench.registers(LONG_MODE);
  bench.answer(FOUND);
  assertEquals(bench.state, [0, 0, false], "asked again meanwhile: proved once more, then it rests");
  assertEquals([bench.lost, bench.found.length], [0, 1]);
});

Deno.test("another kernel in its place is told at once; firmware is awaited; a doubtful proof is repeated", () => {
  const bench = foundBench();
  bench.watch.prove();
  bench.registers(LONG_MODE);
  bench.answer({ ...FOUND, identity: "b", root: 0x9000 });
  assertEquals([bench.lost, bench.found[1]?.root], [1, 0x9000]);
  bench.watch.prove();
  bench.registers(FIRMWARE);
  assertEquals([bench.lost, bench.found.length], [2, 2]);
  bench.registers(LONG_MODE);
  bench.answer(FOUND);
  assertEquals(bench.found.length, 3);
  bench.watch.prove();
  for (let i = 0; i < 2; i++) {
    bench.registers(LONG_MODE);
    bench.answer(NONE);
    assertEquals(bench.lost, 2);
    bench.wait();
  }
  bench.registers(LONG_MODE);
  bench.answer(NONE);
  assertEquals(bench.lost, 3);
});

Deno.test("a proof that could not be made is made again, for as long as it takes", () => {
  const bench = foundBench();
  bench.watch.prove();
  for (let i = 0; i < 10; i++) {
    if (i % 2 === 0) bench.asked.shift()?.({ outcome: "timed-out" }, 0);
    else {
      bench.registers(LONG_MODE);
      bench.answer({ outcome: "failed", detail: "gone" });
    }
    bench.wait();
  }
  bench.registers(LONG_MODE);
  bench.answer(FOUND);
  assertEquals([bench.lost, bench.found.length, bench.state], [0, 1, [0, 0, false]]);
});

Deno.test("RAM that a postcopy migration still brings is not looked at, nor proved, before it has ended", () => {
  const bench = new Bench();
  bench.watch.start(RAM, true);
  for (const status of ["postcopy-active", "postcopy-paused", "postcopy-recover"]) {
    bench.migration = { status };
    bench.registers(LONG_MODE);
    assertEquals(bench.state, [0, 0, true], status);
    bench.wait();
  }
  bench.migration = { status: "completed" };
  bench.registers(LONG_MODE);
  bench.answer(FOUND);
  assertEquals(bench.found.length, 1);
  bench.migration = { status: "postcopy-active" };
  bench.watch.prove();
  bench.registers(LONG_MODE);
  assertEquals(bench.state, [0, 0, true], "the proof waits");
  bench.wait();
  bench.migration = { status: "completed" };
  bench.registers(LONG_MODE);
  bench.answer(FOUND);
  assertEquals([bench.state, bench.lost], [[0, 0, false], 0]);
});
