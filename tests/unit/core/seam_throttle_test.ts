import { assertEquals } from "@std/assert";
import { MS, SECOND } from "../../../src/base/clock.ts";
import { CODE } from "../../../src/base/codes.ts";
import { SEAM_BURST } from "../../../src/core/seam_budget.ts";
import { VM_OP, VM_STATE_NUMBER } from "../../../src/event/body_number.ts";
import { KIND, type Kind } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { CoreRig } from "./core_rig.ts";
import type { FakeAdapter } from "./fake_adapter.ts";

const { RUNNING, PAUSED, RESET, POWERDOWN } = VM_STATE_NUMBER;

function emit(adapter: FakeAdapter, kind: number, ...words: number[]): void {
  const event = adapter.at.event(kind as Kind);
  words.forEach((word, i) => (event.words[i] = word));
  adapter.at.emit(event);
}

Deno.test("beyond its budget a seam's states fold to the newest, in order; it is told once, and others go on", () => {
  const rig = new CoreRig(true);
  const [host] = rig.attach(0, SOURCE.VMHOST);
  const [other] = rig.attach(1, SOURCE.VMHOST);
  const watcher = rig.join();
  const states = () =>
    watcher.of("VM_LIFECYCLE").filter((e) => e.endpoint === 0).map((e) => [e.words[0], e.words[1]]);
  for (let n = 0; n < 5000; n++) emit(host!, KIND.VM_LIFECYCLE, n % 2 === 0 ? RESET : RUNNING, n);
  emit(host!, KIND.VM_LIFECYCLE, POWERDOWN, 5000);
  emit(host!, KIND.VM_LIFECYCLE, PAUSED, 5001);
  rig.settle();
  assertEquals(states().length, SEAM_BURST);
  const errors = watcher.of("ERROR");
  assertEquals(errors.map((e) => [e.endpoint, e.source, e.words[0]]), [[0, SOURCE.VMHOST, CODE.dropped]]);
  assertEquals(
    rig.lines.filter((line) => line.includes("sends more events than its budget allows")).length,
    1,
  );
  emit(other!, KIND.VM_LIFECYCLE, PAUSED, 7);
  rig.settle();
  assertEquals(watcher.of("VM_LIFECYCLE").at(-1)?.endpoint, 1);
  rig.loop.turn(100 * MS);
  rig.settle();
  assertEquals(states().slice(SEAM_BURST), [[RESET, 4998], [POWERDOWN, 5000], [PAUSED, 5001]]);
  // It goes on: ten times a second, and is told no more.
  for (let i = 0; i < 10; i++) {
    for (let n = 0; n < 500; n++) emit(host!, KIND.VM_LIFECYCLE, RESET, i);
    rig.loop.turn(100 * MS);
    rig.settle();
  }
  assertEquals(states().at(-1), [RESET, 9]);
  assertEquals(watcher.of("ERROR").length, 1);
  // After a rest all is as before.
  rig.loop.turn(10 * SECOND);
  const before = states().length;
  for (let n = 0; n < SEAM_BURST; n++) emit(host!, KIND.VM_LIFECYCLE, RESET, n);
  rig.settle();
  assertEquals(states().length, before + SEAM_BURST);
  emit(host!, KIND.VM_LIFECYCLE, RESET, 0);
  rig.settle();
  assertEquals(watcher.of("ERROR").length, 2, "a new flood is told anew");
  rig.end();
});

Deno.test("what commands cause is told whole, however many they are", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(0, SOURCE.VMHOST);
  const watcher = rig.join();
  for (let n = 0; n < 2000; n++) {
    watcher.send(KIND.CMD_VM, 0, [n % 2 === 0 ? VM_OP.STOP : VM_OP.CONT]);
    rig.settle();
    emit(host!, KIND.VM_LIFECYCLE, n % 2 === 0 ? PAUSED : RUNNING, n);
    rig.settle();
  }
  assertEquals(watcher.of("VM_LIFECYCLE").map((e) => e.words[1]), Array.from({ length: 2000 }, (_, n) => n));
  assertEquals(watcher.of("ERROR").length, 0);
  rig.end();
});

Deno.test("what is kept is told before its seam goes; errors fold by code; a closed seam says nothing more", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(0, SOURCE.VMHOST);
  const watcher = rig.join();
  emit(host!, KIND.SEAM_UP);
  rig.settle();
  for (let n = 0; n < 1000; n++) {
    emit(host!, KIND.VM_LIFECYCLE, n % 3 === 0 ? PAUSED : RUNNING, n);
    host!.at.emitError(CODE.refused, n, "a");
    host!.at.emitError(CODE.busy, n, "b");
  }
  emit(host!, KIND.SEAM_DOWN, 3);
  rig.settle();
  const urgent = watcher.seen.filter((e) => e.kind !== "ROSTER").slice(-4);
  assertEquals(urgent.map((e) => [e.kind, e.words[0], e.words[1]]), [
    ["VM_LIFECYCLE", PAUSED, 999],
    ["ERROR", CODE.refused, 999],
    ["ERROR", CODE.busy, 999],
    ["SEAM_DOWN", 3, 0],
  ]);
  for (let n = 0; n < 1000; n++) emit(host!, KIND.VM_LIFECYCLE, RESET, n);
  const count = watcher.seen.length;
  rig.detach(0);
  rig.settle();
  rig.loop.turn(SECOND);
  rig.settle();
  assertEquals(watcher.seen.slice(count).filter((e) => e.kind === "VM_LIFECYCLE").length, 0);
  rig.end();
});

Deno.test("memory contexts fold too: one that was not told has no end, and the newest is told", () => {
  const rig = new CoreRig();
  const [memory] = rig.attach(0, SOURCE.MEMCTX);
  const watcher = rig.join();
  const MEMCTX_EPOCH = 24 / 4;
  for (let epoch = 1; epoch <= 3000; epoch++) {
    const context = memory!.at.event(KIND.MEMCTX);
    context.words[MEMCTX_EPOCH] = epoch;
    memory!.at.emit(context);
    rig.settle();
    if (epoch < 3000) emit(memory!, KIND.MEMCTX_INVALIDATED, epoch, 0);
    rig.settle();
  }
  rig.loop.turn(100 * MS);
  rig.settle();
  const told = watcher.of("MEMCTX").map((e) => e.words[MEMCTX_EPOCH]);
  assertEquals(told, [...Array.from({ length: SEAM_BURST }, (_, i) => i + 1), 3000]);
  assertEquals(
    watcher.of("MEMCTX_INVALIDATED").map((e) => e.words[0]),
    Array.from({ length: SEAM_BURST }, (_, i) => i + 1),
  );
  const late = rig.join();
  assertEquals(late.of("MEMCTX").map((e) => e.words[MEMCTX_EPOCH]), [3000]);
  rig.end();
});
