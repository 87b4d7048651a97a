/** A command's descriptors: handed to its adapter, and let go exactly once, whatever becomes of it. */
import type { EndpointId } from "../../../src/base/ids.ts";
import { assertEquals } from "@std/assert";
import { CODE } from "../../../src/base/codes.ts";
import { DROP } from "../../../src/context/policy.ts";
import { VM_OP } from "../../../src/event/body_number.ts";
import { FDS_OF_KIND } from "../../../src/event/body_rule.ts";
import { CAP } from "../../../src/event/capability.ts";
import { DIR } from "../../../src/event/defaults.ts";
import { KIND } from "../../../src/event/kind.ts";
import { PRIO_DEFAULT, type PrioChoice } from "../../../src/event/priority.ts";
import { SOURCE } from "../../../src/event/source.ts";
import type { TransferEvent } from "../../../src/event/transfer_event.ts";
import { CoreRig, type TestControl } from "./core_rig.ts";

const { VMHOST } = SOURCE;

/** Notes the descriptors that it is to close. */
class Owner {
  readonly closed: number[] = [];
  releasePayload(event: TransferEvent): void {
    this.closed.push(...event.fds);
  }
}

/** A rig in which CMD_VM may bring two descriptors. */
function withRig(body: (rig: CoreRig, owner: Owner) => void): void {
  const before = FDS_OF_KIND[KIND.CMD_VM] as number;
  FDS_OF_KIND[KIND.CMD_VM] = 2;
  const rig = new CoreRig();
  try {
    body(rig, new Owner());
    rig.end();
  } finally {
    FDS_OF_KIND[KIND.CMD_VM] = before;
  }
}

function send(control: TestControl, owner: Owner, fds: readonly number[], endpoint = 0): number {
  return control.control.send(KIND.CMD_VM, endpoint as EndpointId, (event) => {
    event.words[0] = VM_OP.CONT;
    event.own(fds, owner);
  });
}

Deno.test("they reach the adapter; what it does not take is let go with the command", () => {
  withRig((rig, owner) => {
    const [host] = rig.attach(0, VMHOST);
    const control = rig.join();
    assertEquals(control.answers(send(control, owner, [7, 8])), []);
    rig.settle();
    assertEquals(host!.commands.map(({ fds }) => fds), [[7, 8]]);
    assertEquals(owner.closed, [7, 8]);
    host!.keeps = "fds";
    send(control, owner, [9]);
    rig.settle();
    assertEquals([host!.taken, owner.closed], [[9], [7, 8]], "those are the adapter's");
    host!.keeps = "event";
    send(control, owner, [10]);
    rig.settle();
    assertEquals(owner.closed, [7, 8], "it is kept with its descriptors");
    host!.kept.pop()!.release();
    assertEquals(owner.closed, [7, 8, 10]);
  });
});

Deno.test("more than the kind has: refused, and let go", () => {
  withRig((rig, owner) => {
    const [host] = rig.attach(0, VMHOST);
    const control = rig.join();
    const corr = send(control, owner, [7, 8, 9]);
    rig.settle();
    assertEquals([control.answer(corr), owner.closed], [CODE["bad-argument"], [7, 8, 9]]);
    FDS_OF_KIND[KIND.CMD_VM] = 0;
    const none = send(control, owner, [1]);
    rig.settle();
    assertEquals([control.answer(none), owner.closed], [CODE["bad-argument"], [7, 8, 9, 1]]);
    assertEquals(host!.commands.length, 0);
  });
});

Deno.test("refused, dropped, stale, detached, failed, or gone with its control: each is let go once", () => {
  const policy = { prio: PRIO_DEFAULT as PrioChoice, minGapNs: 1e9, coalesceNs: 0, maxInflight: 1 };
  const cases: [what: string, run: (rig: CoreRig, owner: Owner) => void][] = [
    ["no capability", (rig, owner) => {
      rig.attach(0, VMHOST);
      send(rig.join({ caps: CAP.OBSERVE }), owner, [7]);
    }],
    ["no endpoint", (rig, owner) => void send(rig.join(), owner, [7], 5)],
    ["no such seam", (rig, owner) => {
      rig.attach(0, SOURCE.INPUT);
      send(rig.join(), owner, [7]);
    }],
    ["dropped by a full lane", (rig, owner) => {
      rig.attach(0, VMHOST);
      rig.core.setPolicy(VMHOST, DIR.DOWN, { ...policy, drop: DROP.NEWEST });
      const control = rig.join();
      for (let i = 0; i < 2; i++) control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
      rig.settle();
      control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
      send(control, owner, [7]);
    }],
    ["pushed out of a full lane", (rig, owner) => {
      rig.attach(0, VMHOST);
      rig.core.setPolicy(VMHOST, DIR.DOWN, { ...policy, drop: DROP.OLDEST });
      const control = rig.join();
      control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
      rig.settle();
      send(control, owner, [7]);
      control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
    }],
    ["waiting for room as its control leaves", (rig, owner) => {
      rig.attach(0, VMHOST);
      rig.core.setPolicy(VMHOST, DIR.DOWN, { ...policy, drop: DROP.BLOCK });
      const control = rig.join();
      for (let i = 0; i < 3; i++) control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
      send(control, owner, [7]);
      control.control.leave();
    }],
    ["its grant shrank", (rig, owner) => {
      rig.attach(0, VMHOST);
      rig.core.setPolicy(VMHOST, DIR.DOWN, { ...policy, maxInflight: 0, drop: DROP.OLDEST });
      const control = rig.join();
      control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
      rig.settle();
      send(control, owner, [7]);
      rig.core.regrant(control.handle.id, { ...control.handle.grant, caps: CAP.OBSERVE });
    }],
    ["its endpoint goes", (rig, owner) => {
      rig.attach(0, VMHOST);
      rig.core.setPolicy(VMHOST, DIR.DOWN, { ...policy, maxInflight: 0, drop: DROP.OLDEST });
      const control = rig.join();
      control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
      rig.settle();
      send(control, owner, [7]);
      rig.detach(0);
    }],
    ["behind a stop as its endpoint goes", (rig, owner) => {
      const [, input] = rig.attach(0, VMHOST, SOURCE.INPUT);
      input!.stops = "never";
      const control = rig.join();
      control.send(KIND.CMD_VM, 0, [VM_OP.STOP]);
      send(control, owner, [7]);
      rig.settle();
      assertEquals(owner.closed, []);
      rig.detach(0);
    }],
    ["its adapter fails", (rig, owner) => {
      const [host] = rig.attach(0, VMHOST);
      host!.command = () => {
        throw new RangeError("it is odd");
      };
      send(rig.join(), owner, [7]);
    }],
  ];
  for (const [what, run] of cases) {
    withRig((rig, owner) => {
      run(rig, owner);
      rig.settle();
      assertEquals(owner.closed, [7], what);
    });
  }
});
