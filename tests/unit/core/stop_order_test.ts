import { assertEquals } from "@std/assert";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { LIFE, VM_OP } from "../../../src/event/body_number.ts";
import { acquire, CoreRig } from "./core_rig.ts";

const INPUT = 0;
const POWER = 1;

Deno.test("a stop waits until what is held is released, and nothing for that VM overtakes it", () => {
  const rig = new CoreRig();
  const [host, input, memory] = rig.attach(0, SOURCE.VMHOST, SOURCE.INPUT, SOURCE.MEMCTX);
  const [elsewhere] = rig.attach(1, SOURCE.VMHOST, SOURCE.INPUT);
  const control = rig.join();
  acquire(control, 0, INPUT);
  input!.stops = "later";
  for (const [kind, op] of [[KIND.CMD_LIFECYCLE, LIFE.PAUSE], [KIND.CMD_VM, VM_OP.STOP]] as const) {
    host!.commands.length = input!.commands.length = 0;
    const stop = control.send(kind, 0, [op]);
    // Input is of a higher priority: what is sent in the same turn goes first by right.
    rig.settle();
    const corrs = [
      stop,
      control.send(KIND.CMD_VM, 0, [VM_OP.CONT]),
      control.send(KIND.CMD_INPUT, 0, [3, 30, 1]),
      control.send(KIND.CMD_VM, 1, [VM_OP.CONT]),
    ];
    rig.settle();
    assertEquals([host!.commands.length, input!.commands.length], [0, 0]);
    assertEquals(control.answer(corrs[3]!), 0, "another VM goes on");
    input!.stopping.shift()?.();
    rig.settle();
    assertEquals(host!.commands.map((command) => command.op), [op, VM_OP.CONT]);
    assertEquals(input!.commands.length, 1);
    assertEquals(corrs.map((corr) => control.answer(corr)), [0, 0, 0, 0]);
  }
  assertEquals([memory!.steps, elsewhere!.steps], [[], ["command 1", "command 1"]]);
  rig.end();
});

Deno.test("two stops in a row: each releases first, in order", () => {
  const rig = new CoreRig();
  const [host, input] = rig.attach(0, SOURCE.VMHOST, SOURCE.INPUT);
  const control = rig.join();
  input!.stops = "later";
  for (const op of [VM_OP.STOP, VM_OP.CONT, VM_OP.STOP, VM_OP.QUERY]) control.send(KIND.CMD_VM, 0, [op]);
  rig.settle();
  input!.stopping.shift()?.();
  rig.settle();
  assertEquals(host!.commands.map((command) => command.op), [VM_OP.STOP, VM_OP.CONT]);
  input!.stopping.shift()?.();
  rig.settle();
  assertEquals(host!.commands.map((command) => command.op), [
    VM_OP.STOP,
    VM_OP.CONT,
    VM_OP.STOP,
    VM_OP.QUERY,
  ]);
  rig.end();
});

Deno.test("a quit that waits behind the release of keys is fenced when its lease is taken meanwhile", () => {
  const rig = new CoreRig();
  const [host, input] = rig.attach(0, SOURCE.VMHOST, SOURCE.INPUT);
  const weak = rig.join({ arbPrio: 1 });
  const strong = rig.join({ arbPrio: 2 });
  acquire(weak, 0, POWER);
  input!.stops = "later";
  const quit = weak.send(KIND.CMD_VM, 0, [VM_OP.QUIT]);
  const reset = weak.send(KIND.CMD_VM, 0, [VM_OP.RESET]);
  rig.settle();
  const taken = acquire(strong, 0, POWER);
  rig.settle();
  assertEquals(strong.answer(taken), "LEASE_GRANTED");
  assertEquals(weak.answer(reset), 4, "what waited behind it is answered at once");
  input!.stopping.shift()?.();
  rig.settle();
  assertEquals(weak.answer(quit), 4);
  assertEquals(host!.commands, []);
  rig.end();
});

Deno.test("giving up the lease right behind a quit does not fence the quit", () => {
  const rig = new CoreRig();
  const [host, input] = rig.attach(0, SOURCE.VMHOST, SOURCE.INPUT);
  const control = rig.join();
  acquire(control, 0, POWER);
  input!.stops = "later";
  const quit = control.send(KIND.CMD_VM, 0, [VM_OP.QUIT]);
  const release = control.send(KIND.CMD_RELEASE, 0, [POWER]);
  rig.settle();
  assertEquals(control.answers(release), []);
  input!.stopping.shift()?.();
  rig.settle();
  assertEquals([control.answer(quit), control.answer(release)], [0, "LEASE_RELEASED"]);
  assertEquals(host!.commands.map((command) => command.op), [VM_OP.QUIT]);
  rig.end();
});

Deno.test("an endpoint that goes while a stop waits: the stop and what is behind it are answered once", () => {
  for (const when of ["before", "after", "never"] as const) {
    const rig = new CoreRig(true);
    const [host, input] = rig.attach(0, SOURCE.VMHOST, SOURCE.INPUT);
    const control = rig.join();
    input!.stops = "later";
    input!.closes = "later";
    const corrs = [VM_OP.STOP, VM_OP.CONT].map((op) => control.send(KIND.CMD_VM, 0, [op]));
    rig.settle();
    const gone = rig.detach(0);
    if (when === "before") input!.stopping.shift()?.();
    input!.closing.shift()?.();
    if (when === "after") input!.stopping.shift()?.();
    rig.settle();
    assertEquals(gone.done, 1);
    assertEquals(corrs.map((corr) => control.answer(corr)), [5, 5]);
    assertEquals(host!.commands, []);
    assertEquals(rig.lines.filter((line) => line.includes("twice")), []);
    rig.end();
  }
});
