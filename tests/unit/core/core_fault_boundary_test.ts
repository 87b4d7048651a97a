import { assert, assertEquals } from "@std/assert";
import { fullGrant } from "../../../src/access/grant.ts";
import { SUBSCRIBE_ALL } from "../../../src/access/subscription.ts";
import { CODE } from "../../../src/base/codes.ts";
import type { Control, ControlHandle } from "../../../src/core/control_port.ts";
import { LEASE_CLASS, SEAM_REASON, VM_OP } from "../../../src/event/body_number.ts";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { acquire, CoreRig } from "./core_rig.ts";

function broken(): never {
  throw new RangeError("it is odd");
}

/** A control that throws in one of its callbacks. */
class BrokenControl implements Control {
  readonly name = "broken";
  readonly subscription = SUBSCRIBE_ALL;
  readonly steps: string[] = [];
  readonly #where: string;

  constructor(where: string) {
    this.#where = where;
  }
  open(_seat: ControlHandle): void {
    this.#step("open");
  }
  deliver(): void {
    this.#step("deliver");
  }
  flush(): void {
    this.#step("flush");
  }
  close(): void {
    this.#step("close");
  }
  onFault(): void {
    this.steps.push("fault");
  }
  #step(name: string): void {
    this.steps.push(name);
    if (name === this.#where) broken();
  }
}

Deno.test("a control that throws where it is called leaves, and the others get everything", () => {
  for (const where of ["open", "deliver", "flush", "close"]) {
    const rig = new CoreRig(true);
    rig.attach(0, SOURCE.VMHOST);
    const other = rig.join();
    const control = new BrokenControl(where);
    rig.core.addControl(control, fullGrant(1000));
    // An event for everybody.
    rig.adapters.get(0)![0]!.at.emitError(1, 0, "something");
    rig.settle();
    if (where === "close") {
      for (const slot of rig.core.fanOut.controls.values()) {
        if (slot.control === control) rig.core.leave(slot, "asked");
      }
      rig.settle();
    }
    assertEquals(rig.core.fanOut.controls.size, 1, `${where}: it is off the bus`);
    assert(control.steps.includes("fault"), `${where}: it is told`);
    assert(control.steps.includes("close"), `${where}: it is closed`);
    const corr = other.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
    rig.settle();
    assertEquals(other.answer(corr), 0);
    assertEquals(rig.core.faults.counts.get("control"), rig.core.faults.total);
    assert(rig.core.faults.total >= 1);
    assert(rig.lines.some((line) => /audit: ERROR.*contained fault/.test(line)), rig.lines.join("\n"));
    rig.end();
  }
});

Deno.test("an adapter that throws at a command: it is answered, the seam is down, the others are up", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(0, SOURCE.VMHOST, SOURCE.MEMCTX);
  const [next] = rig.attach(1, SOURCE.VMHOST);
  const control = rig.join();
  host!.command = broken;
  const corrs = [control.send(KIND.CMD_VM, 0, [VM_OP.CONT]), control.send(KIND.CMD_VM, 1, [VM_OP.CONT])];
  rig.settle();
  assertEquals(corrs.map((corr) => control.answer(corr)), [CODE["seam-down"], 0]);
  assertEquals(next!.commands.length, 1);
  const downs = control.of("SEAM_DOWN");
  assertEquals(downs.map(({ endpoint, source, words }) => [endpoint, source, words[0]]), [
    [0, SOURCE.VMHOST, SEAM_REASON.PROTOCOL_ERROR],
  ]);
  assertEquals(rig.core.endpoint(0)!.seams, 1 << SOURCE.MEMCTX);
  assertEquals(rig.core.faults.counts.get("adapter"), 1);
  rig.end();
});

Deno.test("an adapter that can deal with a fault of its own says itself what becomes of its seam", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(0, SOURCE.VMHOST);
  const control = rig.join();
  const told: unknown[] = [];
  Object.assign(host!, { command: broken, onFault: (error: unknown) => told.push(error) });
  const corr = control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  rig.settle();
  assertEquals(control.answer(corr), CODE["seam-down"]);
  assert(told[0] instanceof RangeError);
  assertEquals(control.of("SEAM_DOWN").length, 0);
  rig.end();
});

Deno.test("adapters that throw while they open, finalize, stop or close hold nobody back", () => {
  const rig = new CoreRig();
  const [host, input] = rig.attach(0, SOURCE.VMHOST, SOURCE.INPUT);
  const first = rig.join();
  const second = rig.join({ arbPrio: 99 });
  acquire(first, 0, LEASE_CLASS.INPUT);
  rig.settle();
  Object.assign(input!, { finalize: broken, beforeStop: broken });
  acquire(second, 0, LEASE_CLASS.INPUT);
  rig.settle();
  assertEquals(second.of("LEASE_GRANTED").length, 1, "the successor is told");
  const stop = second.send(KIND.CMD_VM, 0, [VM_OP.STOP]);
  rig.settle();
  assertEquals(second.answer(stop), 0);
  assertEquals(host!.commands.length, 1, "the stop is carried out");
  input!.close = broken;
  const outcome = rig.detach(0);
  rig.settle();
  assertEquals([outcome.done, rig.core.endpoints().length], [1, 0]);
  assertEquals(rig.core.faults.counts.get("adapter"), 4, "two finalizations, a stop, a close");
  rig.end();
});
