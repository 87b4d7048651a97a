import type { Code } from "../../../src/base/codes.ts";
import type { EndpointId } from "../../../src/base/ids.ts";
import { assertEquals } from "@std/assert";
import { CoreRig } from "./core_rig.ts";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { LIFE, VM_OP } from "../../../src/event/body_number.ts";
import { ALL_ENDPOINTS, maskOf } from "../../../src/access/grant.ts";
import { subscriptionOf } from "../../../src/access/subscription.ts";
import { MAX_OUTSTANDING } from "../../../src/base/limits.ts";

Deno.test("a command reaches its adapter once and its answer its control alone", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(3, SOURCE.VMHOST);
  const [a, b] = [rig.join(), rig.join()];
  const corr = a.send(KIND.CMD_VM, 3, [VM_OP.CONT]);
  rig.settle();
  assertEquals(host?.commands.map(({ kind, op, origin }) => [kind, op, origin]), [[
    KIND.CMD_VM,
    1,
    a.handle.id,
  ]]);
  assertEquals(a.answer(corr), 0);
  assertEquals(b.of("ACT_ACK"), []);
  assertEquals(a.handle.outstanding, 0);
  rig.end();
});

Deno.test("a second answer to a command is dropped and told as our own defect", () => {
  const rig = new CoreRig(true);
  const [host] = rig.attach(0, SOURCE.VMHOST);
  const control = rig.join();
  host!.answers = "later";
  const corr = control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  rig.settle();
  const ticket = host!.tickets[0] as number;
  host!.answer(10);
  host!.at.ack(ticket, 0);
  host!.at.reply(ticket, host!.at.event(KIND.VM_LIFECYCLE));
  rig.settle();
  assertEquals(control.answers(corr), [10]);
  assertEquals(rig.lines.filter((line) => line.includes("answered twice")).length, 2);
  // The ticket's place is used again; the old ticket still closes nothing.
  const other = control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  rig.settle();
  host!.at.ack(ticket, 0);
  rig.settle();
  assertEquals(control.answers(other), []);
  host!.answer();
  rig.settle();
  assertEquals(control.answer(other), 0);
  rig.end();
});

Deno.test("an adapter that dies with open commands: each is answered with seam-down", () => {
  const rig = new CoreRig();
  const [host, memory] = rig.attach(5, SOURCE.VMHOST, SOURCE.MEMCTX);
  const control = rig.join();
  host!.answers = memory!.answers = "never";
  const corrs = [VM_OP.CONT, VM_OP.STOP, VM_OP.QUERY].map((op) => control.send(KIND.CMD_VM, 5, [op]));
  rig.settle();
  assertEquals(control.handle.outstanding, 3);
  rig.detach(5);
  rig.settle();
  assertEquals(corrs.map((corr) => control.answer(corr)), [6, 6, 6]);
  assertEquals(control.handle.outstanding, 0);
  rig.end();
});

Deno.test("a closed adapter reaches nothing any more", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(5, SOURCE.VMHOST);
  const control = rig.join();
  rig.detach(5);
  rig.settle();
  const before = control.seen.length;
  host!.at.emit(host!.at.event(KIND.SEAM_UP));
  host!.at.emitError(1, 2, "late");
  host!.at.ack(1, 0);
  host!.at.reply(1, host!.at.event(KIND.VM_LIFECYCLE));
  rig.settle();
  assertEquals(control.seen.length, before);
  rig.end();
});

Deno.test("refusals: one answer each, and nothing reaches an adapter", () => {
  const rig = new CoreRig();
  const [host, input] = rig.attach(1, SOURCE.VMHOST, SOURCE.INPUT);
  const control = rig.join({ endpoints: maskOf([1, 2, 40]), caps: ALL_CAPS & ~CAP.LIFECYCLE });
  const cases: [corr: number, code: number | string][] = [
    [control.send(KIND.CMD_LIFECYCLE, 1, [LIFE.PAUSE]), 1],
    [control.send(KIND.CMD_VM, 0, [VM_OP.QUERY]), 2],
    [control.send(KIND.CMD_VM, 0xffffffff, [VM_OP.QUERY]), 2],
    [control.send(KIND.CMD_VM, 64, [VM_OP.QUERY]), 2],
    [control.send(KIND.CMD_INPUT, 1, [3, 30, 1]), 3],
    [control.send(KIND.CMD_VM, 1, [VM_OP.QUIT]), 3],
    [control.send(KIND.CMD_VM, 1, [VM_OP.QUIT], 77), 4],
    [control.send(KIND.CMD_VM, 40, [VM_OP.QUERY]), 5],
    [control.send(KIND.CMD_VM, 1, [99]), 7],
    [control.send(KIND.CMD_MEMWRITE, 1, [0]), 3],
    [control.send(KIND.CMD_RELEASE, 1, [0]), 3],
    [control.send(KIND.CMD_ACQUIRE, 1, [9]), "LEASE_DENIED"],
    [control.send(KIND.CMD_ACQUIRE, 7, [0]), "LEASE_DENIED"],
  ];
  rig.settle();
  assertEquals(cases.map(([corr]) => control.answer(corr)), cases.map(([, code]) => code));
  assertEquals(host!.commands.length + input!.commands.length, 0);
  assertEquals(control.handle.outstanding, 0);
  rig.end();
});

Deno.test("a command for a seam that the endpoint has not: not supported", () => {
  const rig = new CoreRig();
  rig.attach(1, SOURCE.VMHOST);
  const control = rig.join();
  const corr = control.send(KIND.CMD_QUERY_INPUT, 1);
  rig.settle();
  assertEquals(control.answer(corr), 15);
  rig.end();
});

Deno.test("a command without corr is answered only when it fails, and counts as answered all the same", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(1, SOURCE.VMHOST);
  const control = rig.join();
  const sendSilent = () =>
    control.control.send(KIND.CMD_VM, 1 as EndpointId, (event) => {
      event.words[0] = VM_OP.CONT;
      event.corr = 0;
    });
  sendSilent();
  rig.settle();
  assertEquals(control.of("ACT_ACK"), []);
  assertEquals(control.handle.outstanding, 0);
  host!.code = 10;
  sendSilent();
  rig.settle();
  assertEquals(control.of("ACT_ACK").map((ack) => [ack.corr, ack.words[1]]), [[0, 10]]);
  assertEquals(control.handle.outstanding, 0);
  rig.end();
});

Deno.test("all 64 endpoints are reached, those above 31 too", () => {
  const rig = new CoreRig();
  for (let id = 0; id < 64; id++) rig.attach(id, SOURCE.VMHOST);
  const all = rig.join();
  const high = rig.join({ endpoints: maskOf([31, 32, 63]) });
  const narrow = rig.join({}, subscriptionOf(0x7f, 0, maskOf([33])));
  const corrs = Array.from({ length: 64 }, (_, id) => all.send(KIND.CMD_VM, id, [VM_OP.CONT]));
  const refused = [0, 30, 33, 62].map((id) => high.send(KIND.CMD_VM, id, [VM_OP.CONT]));
  const taken = [31, 32, 63].map((id) => high.send(KIND.CMD_VM, id, [VM_OP.CONT]));
  for (let id = 0; id < 64; id++) {
    const adapter = rig.adapters.get(id)?.[0];
    adapter!.at.emitError(id as Code, 0, "hello");
  }
  rig.settle();
  assertEquals(corrs.map((corr) => all.answer(corr)), new Array(64).fill(0));
  assertEquals(refused.map((corr) => high.answer(corr)), [2, 2, 2, 2]);
  assertEquals(taken.map((corr) => high.answer(corr)), [0, 0, 0]);
  assertEquals(all.of("ERROR").map((event) => event.endpoint), Array.from({ length: 64 }, (_, id) => id));
  assertEquals(high.of("ERROR").map((event) => event.endpoint), [31, 32, 63]);
  assertEquals(narrow.of("ERROR").map((event) => event.endpoint), [33]);
  rig.end();
});

Deno.test("more commands than the ledger holds: busy, and every one is answered", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(0, SOURCE.VMHOST);
  host!.answers = "never";
  const control = rig.join();
  for (let i = 0; i < MAX_OUTSTANDING; i++) control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  const corr = control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  rig.settle();
  assertEquals(control.answer(corr), 18);
  assertEquals(host!.commands.length, MAX_OUTSTANDING);
  rig.end();
  assertEquals(control.of("ACT_ACK").length, MAX_OUTSTANDING + 1);
});

Deno.test("a control that leaves in the middle of its own callback gets nothing more and is reaped after the turn", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(0, SOURCE.VMHOST);
  const control = rig.join();
  const other = rig.join();
  control.seen.length = 0;
  control.onEvent = () => {
    control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
    control.control.leave();
    // It has said goodbye: this one does not count any more.
    control.send(KIND.CMD_VM, 0, [VM_OP.STOP]);
    assertEquals(control.closed, undefined, "not reaped while its own callback is on the stack");
  };
  for (let i = 0; i < 3; i++) host!.at.emitError(i as Code, 0, "x");
  rig.settle();
  assertEquals(control.kinds, ["ERROR"]);
  assertEquals(control.closed, "left");
  assertEquals(
    host!.commands.map((command) => command.op),
    [VM_OP.CONT],
    "what it sent before is carried out",
  );
  assertEquals(other.of("ERROR").length, 3);
  assertEquals(rig.core.fanOut.controls.size, 1);
  assertEquals(control.control.send(KIND.CMD_VM, 0 as EndpointId), 0);
  rig.end();
});

Deno.test("a control whose callback throws is taken off, told why, and nobody else notices", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(0, SOURCE.VMHOST);
  const control = rig.join();
  const other = rig.join();
  control.onEvent = () => {
    throw new Error("its own mistake");
  };
  for (let i = 0; i < 3; i++) host!.at.emitError(i as Code, 0, "x");
  rig.settle();
  assertEquals(control.closed, "failed: its own mistake");
  assertEquals(other.of("ERROR").length, 3);
  rig.end();
});

Deno.test("a control that is added from within a callback gets each retained event once, in order", () => {
  const rig = new CoreRig();
  rig.attach(0, SOURCE.VMHOST);
  const first = rig.join();
  let late: ReturnType<CoreRig["join"]> | undefined;
  first.onEvent = () => (late ??= rig.join());
  rig.core.publishRoster(0 as EndpointId, { state: 1, seams: 0, pid: 0, vmid: 0, name: "vm0" });
  rig.core.publishRoster(0 as EndpointId, { state: 2, seams: 0, pid: 0, vmid: 0, name: "vm0" });
  rig.settle();
  assertEquals(late?.of("ROSTER").map((event) => event.words[0]), [1, 2]);
  assertEquals(first.of("ROSTER").map((event) => event.words[0]), [1, 2]);
  rig.end();
});

Deno.test("grants and subscriptions: sources, priority and capability narrow what arrives, answers pass", () => {
  const rig = new CoreRig();
  const [host, frame] = rig.attach(0, SOURCE.VMHOST, SOURCE.FRAME);
  const wantsNothing = rig.join({}, subscriptionOf(0, 3, ALL_ENDPOINTS));
  const hostOnly = rig.join({ sources: 1 << SOURCE.VMHOST });
  const urgentOnly = rig.join({}, subscriptionOf(0x7f, 3, ALL_ENDPOINTS));
  const blind = rig.join({ caps: CAP.VM });
  const mouse = rig.join({ caps: CAP.INPUT });
  for (const control of [wantsNothing, hostOnly, urgentOnly, blind, mouse]) control.seen.length = 0;
  const corr = wantsNothing.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  frame!.at.emit(frame!.at.event(KIND.CURSOR_STATE));
  frame!.at.emit(frame!.at.event(KIND.FRAME_INFO));
  host!.at.emit(host!.at.event(KIND.VM_LIFECYCLE));
  host!.at.emit(host!.at.event(KIND.SEAM_UP));
  rig.settle();
  assertEquals(wantsNothing.kinds, ["ACT_ACK"]);
  assertEquals(wantsNothing.answer(corr), 0);
  assertEquals(hostOnly.kinds, ["VM_LIFECYCLE", "SEAM_UP"]);
  assertEquals(urgentOnly.kinds, ["VM_LIFECYCLE"]);
  assertEquals(blind.kinds, []);
  assertEquals(mouse.kinds, ["CURSOR_STATE"]);
  rig.end();
});
