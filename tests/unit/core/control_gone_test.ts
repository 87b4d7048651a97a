/** An adapter hears that a control is gone, or has lost its seam: once, and after its last command. */
import { assert, assertEquals } from "@std/assert";
import { fullGrant, type Grant, maskOf } from "../../../src/access/grant.ts";
import { CODE } from "../../../src/base/codes.ts";
import { DROP } from "../../../src/context/policy.ts";
import { VM_OP } from "../../../src/event/body_number.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { DIR } from "../../../src/event/defaults.ts";
import { KIND } from "../../../src/event/kind.ts";
import { PRIO_DEFAULT } from "../../../src/event/priority.ts";
import { ALL_SOURCES, SOURCE } from "../../../src/event/source.ts";
import { CoreRig } from "./core_rig.ts";

const GRANT: Grant = { ...fullGrant(1000), caps: ALL_CAPS & ~CAP.AUDIT };
const { VMHOST, INPUT } = SOURCE;

Deno.test("a control that leaves: every adapter that it could reach is told, once", () => {
  const rig = new CoreRig();
  const near = rig.attach(0, VMHOST, INPUT);
  const far = rig.attach(1, VMHOST);
  const control = rig.join({ endpoints: maskOf([0]), sources: ALL_SOURCES & ~(1 << INPUT) });
  control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  control.control.leave();
  rig.settle();
  assertEquals(near[0]!.commands.map(({ origin }) => origin), [control.handle.id], "who sent it is told");
  assertEquals(near.map(({ gone }) => gone), [[control.handle.id], []]);
  assertEquals(far.map(({ gone }) => gone), [[]]);
  rig.end();
  assertEquals(near[0]!.gone, [control.handle.id]);
});

Deno.test("it is told after the last command, however long that was paced", () => {
  const rig = new CoreRig();
  const [host, input] = rig.attach(0, VMHOST, INPUT);
  rig.core.setPolicy(VMHOST, DIR.DOWN, {
    prio: PRIO_DEFAULT,
    minGapNs: 1000,
    coalesceNs: 0,
    maxInflight: 0,
    drop: DROP.OLDEST,
  });
  const control = rig.join();
  for (let i = 0; i < 3; i++) control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  control.control.leave();
  rig.settle();
  assertEquals([host!.commands.length, host!.gone, input!.gone], [1, [], []]);
  rig.loop.turn(1000);
  assertEquals([host!.commands.length, host!.gone], [2, []]);
  rig.loop.turn(1000);
  assertEquals(host!.commands.length, 3);
  assertEquals([host!.gone, input!.gone], [[control.handle.id], [control.handle.id]]);
  rig.end();
});

Deno.test("it is told after a command that waited behind a stop", () => {
  const rig = new CoreRig();
  const [host, input] = rig.attach(0, VMHOST, INPUT);
  input!.stops = "later";
  const other = rig.join();
  const control = rig.join();
  other.send(KIND.CMD_VM, 0, [VM_OP.STOP]);
  control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  control.control.leave();
  rig.settle();
  assertEquals([host!.commands.length, host!.gone], [0, []]);
  input!.stopping.shift()!();
  rig.settle();
  assertEquals(host!.commands.map(({ op }) => op), [VM_OP.STOP, VM_OP.CONT]);
  assertEquals(host!.gone, [control.handle.id]);
  rig.end();
});

Deno.test("a grant that shrinks: told where the endpoint, the source or the right to a command went", () => {
  const cases: [part: Partial<Grant>, gone: [host0: boolean, input0: boolean, host1: boolean]][] = [
    [{}, [false, false, false]],
    [{ endpoints: maskOf([1]) }, [true, true, false]],
    [{ endpoints: maskOf([]) }, [true, true, true]],
    [{ sources: ALL_SOURCES & ~(1 << VMHOST) }, [true, false, true]],
    [{ caps: GRANT.caps & ~CAP.INPUT }, [false, true, false]],
    [{ caps: GRANT.caps & ~CAP.POWER }, [true, false, true]],
    [{ caps: GRANT.caps & ~CAP.OBSERVE }, [false, false, false]],
  ];
  for (const [part, gone] of cases) {
    const rig = new CoreRig();
    const [host0, input0] = rig.attach(0, VMHOST, INPUT);
    const [host1] = rig.attach(1, VMHOST);
    const control = rig.join();
    rig.core.regrant(control.handle.id, { ...GRANT, ...part });
    const told = [host0, input0, host1].map((adapter) => adapter!.gone.length > 0);
    assertEquals(told, gone, JSON.stringify(part));
    control.control.leave();
    rig.settle();
    for (const adapter of [host0, input0, host1]) {
      assert(new Set(adapter!.gone).size <= 1, "only of that control");
    }
    rig.end();
  }
});

Deno.test("a grant that shrinks: what waits behind a stop and is not covered any more is answered, not sent", () => {
  const rig = new CoreRig();
  const [host, input] = rig.attach(0, VMHOST, INPUT);
  input!.stops = "later";
  const other = rig.join();
  const control = rig.join();
  other.send(KIND.CMD_VM, 0, [VM_OP.STOP]);
  const corr = control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  rig.settle();
  rig.core.regrant(control.handle.id, { ...GRANT, endpoints: maskOf([1]) });
  assertEquals(host!.gone, [control.handle.id]);
  rig.settle();
  assertEquals(control.answer(corr), CODE["outside-grant"]);
  input!.stopping.shift()!();
  rig.settle();
  assertEquals(host!.commands.map(({ op }) => op), [VM_OP.STOP]);
  rig.end();
});

Deno.test("an adapter that fails when it is told ends its own seam", () => {
  const rig = new CoreRig(true);
  const [host, input] = rig.attach(0, VMHOST, INPUT);
  host!.controlGone = () => {
    throw new RangeError("it is odd");
  };
  const watcher = rig.join();
  const control = rig.join();
  control.control.leave();
  rig.settle();
  assertEquals(watcher.of("SEAM_DOWN").map(({ source }) => source), [VMHOST]);
  assertEquals([input!.gone, rig.core.faults.total], [[control.handle.id], 1]);
  rig.end();
});
