/**
 * When audit lines are written: behind the answers of their turn, leases alone in a millisecond's heaps, and
 * whatever was done to a VM never later than its turn.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { MS } from "../../../src/base/clock.ts";
import { LEASE_CLASS, VM_OP } from "../../../src/event/body_number.ts";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { acquire, CoreRig, type TestControl } from "./core_rig.ts";

/** A rig with a VM whose seam of state is there, its log kept, and a control. */
function rigOf(): { rig: CoreRig; control: TestControl; auditLines: () => string[] } {
  const rig = new CoreRig(true);
  rig.attach(0, SOURCE.VMHOST);
  const control = rig.join();
  rig.loop.turn(10 * MS);
  const auditLines = (): string[] =>
    rig.lines.filter((line) => line.includes(" audit: LEASE_") || line.includes(" audit: CMD_"));
  return { rig, control, auditLines };
}

function release(control: TestControl): number {
  return control.send(KIND.CMD_RELEASE, 0, [LEASE_CLASS.POWER], control.token);
}

Deno.test("a lease's line is written in its turn, behind the answer", () => {
  const { rig, control, auditLines } = rigOf();
  let linesAtAnswer = -1;
  control.onEvent = (event) => {
    if (event.kind === KIND.LEASE_GRANTED) linesAtAnswer = auditLines().length;
  };
  const corr = acquire(control, 0, LEASE_CLASS.POWER);
  rig.loop.turn();
  assertEquals(control.answer(corr), "LEASE_GRANTED");
  assertEquals(linesAtAnswer, 0);
  assertEquals(auditLines().length, 1);
  assert(auditLines()[0]?.includes("audit: LEASE_GRANTED verdict=ok"));
  rig.end();
});

Deno.test("lines of leases that come in heaps are written after a millisecond, all of them, in order", () => {
  const { rig, control, auditLines } = rigOf();
  acquire(control, 0, LEASE_CLASS.POWER);
  rig.loop.turn();
  for (let i = 0; i < 10; i++) {
    release(control);
    rig.loop.turn(MS / 100);
    acquire(control, 0, LEASE_CLASS.POWER);
    rig.loop.turn(MS / 100);
  }
  assertEquals(control.of("LEASE_GRANTED").length, 11, "no answer waits");
  assertEquals(auditLines().length, 1);
  assertEquals(rig.loop.timers.earliestNs, rig.loop.clock.nowNs() + 0.8 * MS, "the loop wakes for them");
  rig.loop.turn(0.8 * MS);
  const kinds = auditLines().map((line) => /LEASE_[A-Z]+/.exec(line)?.[0]);
  const pair = ["LEASE_RELEASED", "LEASE_GRANTED"];
  assertEquals(kinds, ["LEASE_GRANTED", ...Array.from({ length: 10 }, () => pair).flat()]);
  const tokens = auditLines().filter((line) => line.includes("GRANTED")).map((line) =>
    Number(/token=(\d+)/.exec(line)?.[1])
  );
  assertEquals(tokens, tokens.toSorted((a, b) => a - b));
  rig.end();
});

Deno.test("a turn in which something is sent under a lease ends with the lease's line", () => {
  const { rig, control, auditLines } = rigOf();
  acquire(control, 0, LEASE_CLASS.POWER);
  rig.loop.turn();
  release(control);
  acquire(control, 0, LEASE_CLASS.POWER);
  rig.loop.turn(MS / 10);
  assertEquals(auditLines().length, 1, "these two wait");
  control.send(KIND.CMD_VM, 0, [VM_OP.STOP], control.token);
  rig.loop.turn(MS / 10);
  const kinds = auditLines().map((line) => /audit: (\w+)/.exec(line)?.[1]);
  assertEquals(kinds.slice(0, 3), ["LEASE_GRANTED", "LEASE_RELEASED", "LEASE_GRANTED"]);
  rig.end();
});

Deno.test("what is no lease's coming and going is written in its turn, with what waited before it", () => {
  const { rig, control, auditLines } = rigOf();
  const other = rig.join({ principal: 1001, caps: 0 });
  acquire(control, 0, LEASE_CLASS.POWER);
  rig.loop.turn();
  release(control);
  rig.loop.turn(MS / 10);
  assertEquals(auditLines().length, 1);
  other.send(KIND.CMD_VM, 0, [VM_OP.STOP]);
  rig.loop.turn(MS / 10);
  assertEquals(auditLines().length, 3);
  assert(auditLines()[2]?.includes("audit: CMD_VM verdict=no-capability"));
  rig.end();
});

Deno.test("64 lines are written without waiting; what ends the loop writes those that wait", () => {
  const { rig, control, auditLines } = rigOf();
  acquire(control, 0, LEASE_CLASS.POWER);
  rig.loop.turn();
  for (let i = 0; i < 32; i++) {
    assertEquals(auditLines().length, 1);
    release(control);
    acquire(control, 0, LEASE_CLASS.POWER);
    rig.loop.turn(1);
  }
  assertEquals(auditLines().length, 65);
  release(control);
  rig.loop.turn(1);
  assertEquals(auditLines().length, 65);
  rig.core.audit.writeLines();
  assertEquals(auditLines().length, 66);
  rig.end();
  assertEquals(auditLines().length, 66, "none is written twice");
});
