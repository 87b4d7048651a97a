import type { EndpointId } from "../../../src/base/ids.ts";
import { assert, assertEquals } from "@std/assert";
import { decode } from "cborg";
import { MS, SECOND } from "../../../src/base/clock.ts";
import { DROP, PASS_THROUGH } from "../../../src/context/policy.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { VGPU_STATUS } from "../../../src/event/body_layout.ts";
import { VGPU_STATE, VM_OP } from "../../../src/event/body_number.ts";
import { maskOf } from "../../../src/access/grant.ts";
import { acquire, CoreRig, type Seen } from "./core_rig.ts";

const BLOCK = { ...PASS_THROUGH, minGapNs: 1000, maxInflight: 2, drop: DROP.BLOCK };

Deno.test("block, downwards: an in-process control's commands wait with it, in order, and none is lost", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(0, SOURCE.VMHOST);
  rig.core.setPolicy(SOURCE.VMHOST, 1, BLOCK);
  const control = rig.join();
  const corrs = Array.from({ length: 50 }, () => control.send(KIND.CMD_VM, 0, [VM_OP.CONT]));
  rig.settle();
  assertEquals(host!.commands.length, 1);
  for (let i = 0; i < 60; i++) rig.loop.turn(1000);
  rig.settle();
  assertEquals(host!.commands.map((command) => command.corr), corrs);
  assertEquals(corrs.map((corr) => control.answer(corr)), corrs.map(() => 0));
  // One that leaves with commands that still wait for room releases them.
  for (let i = 0; i < 20; i++) control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  control.control.leave();
  rig.settle();
  rig.loop.turn(10_000);
  rig.loop.turn(10_000);
  rig.end();
});

Deno.test("block, upwards: an adapter's events are parked in order; answers and urgent ones are never held", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(0, SOURCE.VMHOST);
  rig.core.setPolicy(SOURCE.VMHOST, 0, { ...BLOCK, prio: -1 });
  const control = rig.join();
  for (let n = 1; n <= 20; n++) {
    const event = host!.at.event(KIND.SEAM_UP);
    event.words[1] = n;
    host!.at.emit(event);
  }
  rig.loop.turn();
  host!.at.emitError(9, 0, "urgent");
  rig.loop.turn(1000);
  assertEquals(control.kinds, ["SEAM_UP", "ERROR"], "the urgent one overtakes what is parked");
  const corr = control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  for (let i = 0; i < 30; i++) rig.loop.turn(1000);
  assertEquals(
    control.of("SEAM_UP").map((event) => event.words[1]),
    Array.from({ length: 20 }, (_, i) => i + 1),
  );
  assertEquals(control.answer(corr), 0);
  // And what is still parked at the end is released.
  for (let n = 1; n <= 20; n++) host!.at.emit(host!.at.event(KIND.SEAM_UP));
  rig.end();
});

Deno.test("no policy of a lane costs a command its answer", () => {
  for (const drop of Object.values(DROP)) {
    const rig = new CoreRig();
    const [host] = rig.attach(0, SOURCE.VMHOST);
    rig.core.setPolicy(SOURCE.VMHOST, 0, {
      ...PASS_THROUGH,
      coalesceNs: 5000,
      maxInflight: 1,
      minGapNs: 100,
      drop,
    });
    rig.core.setPolicy(SOURCE.VMHOST, 1, {
      ...PASS_THROUGH,
      coalesceNs: 5000,
      maxInflight: 3,
      minGapNs: 100,
      drop,
    });
    const control = rig.join();
    host!.code = 10;
    const corrs = Array.from({ length: 30 }, () => control.send(KIND.CMD_VM, 0, [VM_OP.CONT]));
    for (let i = 0; i < 150; i++) {
      if (i < 50) host!.at.emit(host!.at.event(KIND.VM_LIFECYCLE));
      rig.loop.turn(100);
    }
    const codes = corrs.map((corr) => control.answer(corr));
    if (drop === DROP.BLOCK) assertEquals(codes, codes.map(() => 10));
    else assert(codes.every((code) => code === 10 || code === 12) && codes.includes(12));
    assertEquals(codes.filter((code) => code === 10).length, host!.commands.length);
    assertEquals(control.handle.outstanding, 0);
    rig.end();
  }
});

Deno.test("a command counts as answered when the answer has arrived, not when it was given", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(0, SOURCE.VMHOST);
  rig.core.setPolicy(SOURCE.VMHOST, 0, { ...PASS_THROUGH, minGapNs: 1000 });
  const control = rig.join();
  for (let i = 0; i < 5; i++) control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  control.send(KIND.CMD_VM, 5, [VM_OP.CONT]); // refused: that is an answer on its way, too
  rig.loop.turn();
  assertEquals(host!.commands.length, 5);
  assertEquals(rig.core.bus.ledger.count, 0);
  assertEquals(control.handle.outstanding, 6 - control.of("ACT_ACK").length);
  assert(control.handle.outstanding >= 4);
  for (let i = 0; i < 10; i++) rig.loop.turn(1000);
  assertEquals(control.handle.outstanding, 0);
  rig.end();
});

Deno.test("a seam that comes up and goes down in one turn is told in that order, however the lane is paced", () => {
  const rig = new CoreRig();
  const [host, input] = rig.attach(0, SOURCE.VMHOST, SOURCE.INPUT);
  const control = rig.join();
  for (const policy of [PASS_THROUGH, BLOCK]) {
    rig.core.setPolicy(SOURCE.VMHOST, 0, policy);
    control.seen.length = 0;
    for (let i = 0; i < 4; i++) host!.at.emit(host!.at.event(KIND.SEAM_UP));
    input!.at.emit(input!.at.event(KIND.SEAM_UP));
    host!.at.emit(host!.at.event(KIND.SEAM_DOWN));
    for (let i = 0; i < 10; i++) rig.loop.turn(1000);
    assertEquals(
      control.of("SEAM_UP", "SEAM_DOWN").filter((event) => event.source === SOURCE.VMHOST).map((e) => e.kind),
      [
        ...new Array(4).fill("SEAM_UP"),
        "SEAM_DOWN",
      ],
    );
    assertEquals(control.seen.length, 6);
  }
  rig.end();
});

Deno.test("a memory context that was not told when its epoch ended is not told, and not retained", () => {
  const rig = new CoreRig();
  const [memory] = rig.attach(0, SOURCE.MEMCTX);
  const control = rig.join();
  let released = 0;
  const emit = (epoch: number) => {
    const event = memory!.at.event(KIND.MEMCTX);
    event.words[6] = epoch;
    event.own([], { releasePayload: () => released++ });
    memory!.at.emit(event);
  };
  emit(1);
  const ended = memory!.at.event(KIND.MEMCTX_INVALIDATED);
  ended.words[0] = 1;
  memory!.at.emit(ended);
  rig.settle();
  assertEquals(control.kinds, ["MEMCTX_INVALIDATED"]);
  assertEquals([released, rig.join().of("MEMCTX").length], [1, 0]);
  emit(2);
  rig.settle();
  assertEquals(rig.join().of("MEMCTX").map((event) => event.words[6]), [2]);
  rig.detach(0);
  rig.settle();
  assertEquals(control.of("MEMCTX_INVALIDATED").map((event) => event.words.slice(0, 2)), [[1, 0], [2, 1]]);
  assertEquals([released, rig.join().of("MEMCTX").length], [2, 0]);
  rig.end();
});

Deno.test("retained events are replayed in order, newest only, and a gone endpoint leaves nothing", () => {
  const rig = new CoreRig();
  const [memory, frame] = rig.attach(9, SOURCE.MEMCTX, SOURCE.FRAME);
  const producer = frame!.at.event(KIND.VGPU_STATUS);
  producer.words[0] = VGPU_STATE.ALIVE;
  frame!.at.emit(producer);
  frame!.at.emit(frame!.at.event(KIND.FRAME_RING));
  memory!.at.emit(memory!.at.event(KIND.MEMCTX));
  for (const state of [1, 2]) {
    rig.core.publishRoster(9 as EndpointId, { state, seams: 0, pid: 0, vmid: 0, name: "nine" });
  }
  rig.core.publishRoster(3 as EndpointId, { state: 3, seams: 0, pid: 0, vmid: 0, name: "three" });
  rig.settle();
  assertEquals(rig.join().seen.map((event) => [event.kind, event.endpoint]), [
    ["ROSTER", 3],
    ["ROSTER", 9],
    ["MEMCTX", 9],
    ["FRAME_RING", 9],
    ["VGPU_STATUS", 9],
  ]);
  rig.core.publishRoster(9 as EndpointId, { state: 0, seams: 0, pid: 0, vmid: 0, name: "nine" });
  rig.settle();
  assertEquals(rig.join().seen.map((event) => event.endpoint), [3]);
  rig.core.forget(3 as EndpointId);
  rig.end();
});

Deno.test("publishing: no capability 1, outside the grant 2, no endpoint 5, descriptors 7; another kind: 13 and out", () => {
  const rig = new CoreRig();
  rig.attach(0, SOURCE.VMHOST);
  const watcher = rig.join();
  const powerless = rig.join({ caps: ALL_CAPS & ~CAP.PUBLISH });
  const narrow = rig.join({ endpoints: maskOf([0, 8]) });
  watcher.seen.length = 0;
  powerless.publish(KIND.CURSOR_STATE, 0);
  narrow.publish(KIND.CURSOR_STATE, 1);
  narrow.publish(KIND.CURSOR_STATE, 8);
  narrow.publish(KIND.FRAME_RING, 0);
  rig.settle();
  const codes = (seen: Seen[]) =>
    seen.filter((event) => event.kind === "ERROR").map((event) => event.words[0]);
  assertEquals([codes(powerless.seen), codes(narrow.seen), watcher.seen], [[1], [2, 5, 7], []]);
  narrow.publish(KIND.CURSOR_STATE, 0, (event) => (event.origin = powerless.handle.id));
  rig.settle();
  assertEquals(watcher.kinds, ["CURSOR_STATE"], "an origin that is written into it does not count");
  assertEquals(powerless.of("CURSOR_STATE").length, 1);
  assertEquals(narrow.handle.outstanding, 0);
  powerless.publish(KIND.SEAM_DOWN, 0);
  rig.settle();
  assertEquals(codes(powerless.seen), [1, 13]);
  assert(powerless.closed?.startsWith("protocol error"));
  assertEquals(watcher.kinds, ["CURSOR_STATE"]);
  rig.end();
});

Deno.test("a producer is replayed to who comes late, as long as it is there and its publisher is", () => {
  const rig = new CoreRig();
  rig.attach(0, SOURCE.VMHOST);
  const [watcher, publisher] = [rig.join(), rig.join()];
  const tell = (state: number, fps = 0) => {
    publisher.publish(KIND.VGPU_STATUS, 0, (event) => {
      event.words[VGPU_STATUS.at.state / 4] = state;
      event.words[VGPU_STATUS.at.appliedFps / 4] = fps;
    });
    rig.settle();
  };
  const late = () => {
    const control = rig.join();
    const seen = control.of("VGPU_STATUS").map((event) => [event.words[0], event.words[5]]);
    control.control.leave();
    rig.settle();
    return seen;
  };
  assertEquals(late(), []);
  tell(VGPU_STATE.CANDIDATE);
  assertEquals(late(), [[VGPU_STATE.CANDIDATE, 0]]);
  tell(VGPU_STATE.ALIVE, 30);
  tell(VGPU_STATE.ALIVE, 60);
  assertEquals(late(), [[VGPU_STATE.ALIVE, 60]]);
  assertEquals(rig.join({ caps: ALL_CAPS & ~CAP.OBSERVE }).of("VGPU_STATUS"), []);
  tell(VGPU_STATE.LOST);
  assertEquals(late(), []);
  tell(VGPU_STATE.ALIVE, 60);
  publisher.control.leave();
  rig.settle();
  assertEquals(late(), []);
  // Who was there before has heard each of them once.
  assertEquals(watcher.of("VGPU_STATUS").map((event) => event.words[0]), [1, 2, 2, 0, 2]);
  rig.end();
});

Deno.test("a ring is forgotten with its publisher, unless another one has published since", () => {
  const rig = new CoreRig();
  rig.attach(0, SOURCE.VMHOST);
  const [a, b] = [rig.join(), rig.join()];
  let released = 0;
  const own = (control: typeof a) =>
    control.publish(KIND.FRAME_RING, 0, (event) => event.own([1], { releasePayload: () => released++ }));
  own(a);
  own(b);
  rig.settle();
  a.control.leave();
  rig.settle();
  assertEquals([released, rig.join().of("FRAME_RING").length], [1, 1]);
  b.control.leave();
  rig.settle();
  assertEquals([released, rig.join().of("FRAME_RING").length], [2, 0]);
  rig.end();
});

Deno.test("a ring that a policy still holds back goes with its publisher: nobody would take it away later", () => {
  const rig = new CoreRig();
  rig.attach(0, SOURCE.VMHOST);
  rig.core.setPolicy(SOURCE.FRAME, 0, { ...PASS_THROUGH, minGapNs: SECOND });
  const publisher = rig.join();
  let released = 0;
  const publish = () =>
    publisher.publish(KIND.FRAME_RING, 0, (event) => event.own([1], { releasePayload: () => released++ }));
  publish();
  rig.settle();
  assertEquals(rig.join().of("FRAME_RING").length, 1);
  publish();
  rig.settle();
  assertEquals(released, 0, "the second one waits");
  publisher.control.leave();
  rig.settle();
  assertEquals(released, 2);
  rig.loop.turn(2 * SECOND);
  rig.settle();
  assertEquals(rig.join().of("FRAME_RING").length, 0);
  rig.end();
});

Deno.test("audit: who, what, which VM, verdict, as the protocol's CBOR", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(3, SOURCE.VMHOST, SOURCE.INPUT);
  const auditor = rig.join({ caps: ALL_CAPS });
  const control = rig.join({ principal: 77, arbPrio: 1 });
  const strong = rig.join({ principal: 88, arbPrio: 2 });
  const id = control.handle.id;
  auditor.seen.length = 0;
  const entries = () => {
    rig.settle();
    const bodies = auditor.of("AUDIT").map((event) => decode(event.body) as Record<string, unknown>);
    auditor.seen.length = 0;
    for (const body of bodies) {
      assertEquals(typeof body["ns"], "number");
      delete body["ns"];
    }
    return bodies;
  };
  control.send(KIND.CMD_INPUT, 3, [3, 30, 1]);
  control.send(KIND.CMD_VM, 9, [VM_OP.QUERY]);
  assertEquals(entries(), [
    { principal: 77, control: id, endpoint: 3, kind: 64, code: 3, cls: 0 },
    { principal: 77, control: id, endpoint: 9, kind: 70, code: 5, detail: "query" },
  ]);
  acquire(control, 3, 1);
  assertEquals(entries(), [{ principal: 77, control: id, endpoint: 3, kind: 50, code: 0, cls: 1, token: 1 }]);
  control.send(KIND.CMD_VM, 3, [VM_OP.RESET]);
  assertEquals(entries(), [
    { principal: 77, control: id, endpoint: 3, kind: 70, code: 0, cls: 1, token: 1, detail: "reset" },
  ]);
  acquire(strong, 3, 1);
  assertEquals(entries(), [
    {
      principal: 77,
      control: id,
      endpoint: 3,
      kind: 53,
      code: 0,
      cls: 1,
      token: 1,
      detail: "pre-empted by uid 88",
    },
    { principal: 88, control: strong.handle.id, endpoint: 3, kind: 50, code: 0, cls: 1, token: 2 },
  ]);
  acquire(control, 3, 1);
  assertEquals(entries(), [{ principal: 77, control: id, endpoint: 3, kind: 51, code: 18, cls: 1 }]);
  // The verdict of a command whose control has left is still told in its name.
  host!.answers = "later";
  control.send(KIND.CMD_VM, 3, [VM_OP.STOP]);
  rig.settle();
  control.control.leave();
  rig.settle();
  host!.answer(10);
  assertEquals(entries(), [{ principal: 77, control: id, endpoint: 3, kind: 70, code: 10, detail: "stop" }]);
  // Delivered input is not news.
  acquire(strong, 3, 0);
  entries();
  strong.send(KIND.CMD_INPUT, 3, [3, 30, 1]);
  strong.send(KIND.CMD_LEASE_STATUS, 3, [0]);
  assertEquals(entries(), []);
  rig.end();
});

Deno.test("refusals are limited per principal, and what was left out is told within a second, also when nothing follows", () => {
  const rig = new CoreRig(true);
  rig.attach(0, SOURCE.VMHOST);
  const noisy = rig.join({ caps: CAP.OBSERVE, principal: 1001 });
  const quiet = rig.join({ caps: CAP.OBSERVE, principal: 1002 });
  const linesOf = (principal: number) =>
    rig.lines.filter((line) =>
      line.startsWith("info  audit: CMD_VM") && line.includes(`principal=${principal} `)
    ).length;
  const told = () =>
    rig.lines.filter((line) => line.includes("left out")).map((line) =>
      /principal=(\d+) .* detail="(\d+) entries left out"/.exec(line)?.slice(1).join()
    );
  for (let i = 0; i < 100; i++) noisy.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  quiet.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  rig.settle();
  assertEquals([linesOf(1001), linesOf(1002)], [20, 1]);
  assertEquals(told(), []);
  // Who connects anew has no new budget.
  noisy.control.leave();
  rig.settle();
  const again = rig.join({ caps: CAP.OBSERVE, principal: 1001 });
  for (let i = 0; i < 5; i++) again.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  rig.settle();
  assertEquals(linesOf(1001), 20);
  rig.loop.turn(SECOND);
  assertEquals(told(), ["1001,85"]);
  rig.loop.turn(10 * MS);
  for (let i = 0; i < 30; i++) again.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  rig.settle();
  assertEquals(linesOf(1001), 40);
  assertEquals(rig.core.audit.entries, 136);
  assertEquals(rig.core.audit.leftOut, 95);
  rig.end();
  assertEquals(told(), ["1001,85", "1001,10"], "also when the daemon stops before the second is over");
});

Deno.test("no number of refusals keeps what is carried out from the log and from AUDIT", () => {
  const rig = new CoreRig(true);
  const [host] = rig.attach(0, SOURCE.VMHOST);
  const auditor = rig.join({ caps: CAP.AUDIT });
  const actor = rig.join({ caps: CAP.POWER | CAP.VM, principal: 1001 });
  for (let i = 0; i < 60; i++) actor.send(KIND.CMD_INPUT, 0, [3, 30, 1]);
  rig.settle();
  const from = rig.lines.length;
  const since = auditor.of("AUDIT").length;
  actor.send(KIND.CMD_ACQUIRE, 0, [1]);
  rig.settle();
  for (let i = 0; i < 30; i++) {
    actor.send(KIND.CMD_VM, 0, [VM_OP.RESET]);
    rig.settle();
  }
  // A reset that nobody confirmed may be carried out all the same.
  host!.answers = "later";
  actor.send(KIND.CMD_VM, 0, [VM_OP.RESET]);
  rig.settle();
  host!.answer(11);
  actor.send(KIND.CMD_RELEASE, 0, [1]);
  rig.settle();
  const lines = rig.lines.slice(from).filter((line) => line.includes(" audit: "));
  const kinds = (kind: string) => lines.filter((line) => line.includes(` audit: ${kind} `)).length;
  assertEquals([kinds("LEASE_GRANTED"), kinds("CMD_VM"), kinds("LEASE_RELEASED")], [1, 31, 1]);
  assertEquals(auditor.of("AUDIT").length - since, 33);
  rig.loop.turn(SECOND);
  rig.settle();
  const last = decode(auditor.of("AUDIT").at(-1)!.body);
  assertEquals([last.principal, last.kind, last.code, last.detail], [1001, 84, 12, "40 entries left out"]);
  rig.end();
});
