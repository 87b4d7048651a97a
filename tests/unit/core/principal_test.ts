/** Principals with a name: leases, refusals and the audit trail tell it, and it stays a control's. */
import { assertEquals, assertThrows } from "@std/assert";
import { decode } from "cborg";
import { fullGrant } from "../../../src/access/grant.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { acquire, CoreRig, type Seen } from "./core_rig.ts";

/** Principal, control and name of an event that says whose a lease is. */
function partyOf(event: Seen | undefined): [number, number, string] {
  const bytes = new Uint8Array(Uint32Array.from(event?.words ?? []).buffer).subarray(16, 48);
  const end = bytes.indexOf(0);
  const name = new TextDecoder().decode(bytes.subarray(0, end < 0 ? bytes.length : end));
  return [event?.words[2] ?? -1, event?.words[3] ?? -1, name];
}

Deno.test("who owns a lease, and who took it, is told by uid, control and name", () => {
  const rig = new CoreRig();
  rig.attach(3, SOURCE.VMHOST, SOURCE.INPUT);
  const robot = rig.join({ principal: 33, as: "nats:robot", arbPrio: 1 });
  const alice = rig.join({ principal: 33, as: "token:alice", arbPrio: 2 });
  const plain = rig.join({ principal: 0, arbPrio: 1 });
  acquire(robot, 3, 0);
  rig.settle();
  plain.send(KIND.CMD_LEASE_STATUS, 3, [0]);
  acquire(plain, 3, 0);
  rig.settle();
  const ofRobot = [33, robot.handle.id, "nats:robot"];
  assertEquals(partyOf(plain.of("LEASE_STATUS")[0]), ofRobot as [number, number, string]);
  assertEquals(partyOf(plain.of("LEASE_DENIED")[0]), ofRobot as [number, number, string]);
  acquire(alice, 3, 0);
  rig.settle();
  assertEquals(partyOf(robot.of("LEASE_REVOKED")[0]), [33, alice.handle.id, "token:alice"]);
  alice.send(KIND.CMD_RELEASE, 3, [0]);
  rig.settle();
  plain.send(KIND.CMD_LEASE_STATUS, 3, [0]);
  acquire(plain, 3, 1);
  rig.settle();
  assertEquals(partyOf(plain.of("LEASE_STATUS")[1]), [0, 0, ""], "nobody");
  plain.send(KIND.CMD_LEASE_STATUS, 3, [1]);
  rig.settle();
  assertEquals(
    partyOf(plain.of("LEASE_STATUS")[2]),
    [0, plain.handle.id, ""],
    "root, by its control's number",
  );
  rig.end();
});

Deno.test("a grant that shrinks takes a lease, and nobody is named for it; a long name is cut", () => {
  const rig = new CoreRig();
  rig.attach(3, SOURCE.VMHOST);
  const long = `token:${"x".repeat(64)}`;
  const control = rig.join({ principal: 33, as: long });
  const other = rig.join({ principal: 5 });
  acquire(control, 3, 1);
  other.send(KIND.CMD_LEASE_STATUS, 3, [1]);
  rig.settle();
  assertEquals(partyOf(other.of("LEASE_STATUS")[0]), [33, control.handle.id, long.slice(0, 32)]);
  rig.core.regrant(control.handle.id, { ...control.handle.grant, caps: CAP.OBSERVE });
  rig.settle();
  assertEquals(partyOf(control.of("LEASE_REVOKED")[0]), [0, 0, ""]);
  assertThrows(() => rig.core.regrant(control.handle.id, fullGrant(33)), Error, "its principal's");
  rig.end();
});

Deno.test("the audit trail has the name of grants, refusals, verdicts and losses; that of a plain user has none", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(3, SOURCE.VMHOST, SOURCE.INPUT);
  const auditor = rig.join({ caps: ALL_CAPS });
  const robot = rig.join({ principal: 33, as: "nats:robot", arbPrio: 1 });
  const alice = rig.join({ principal: 33, as: "token:alice", arbPrio: 2 });
  const entries = () => {
    rig.settle();
    const bodies = auditor.of("AUDIT").map((event) => decode(event.body) as Record<string, unknown>);
    auditor.seen.length = 0;
    return bodies.map(({ as, kind, code, detail }) => [as, kind, code, detail]);
  };
  robot.send(KIND.CMD_INPUT, 3, [3, 30, 1]);
  acquire(robot, 3, 1);
  assertEquals(entries(), [
    ["nats:robot", KIND.CMD_INPUT, 3, undefined],
    ["nats:robot", KIND.LEASE_GRANTED, 0, undefined],
  ]);
  acquire(alice, 3, 1);
  acquire(robot, 3, 1);
  assertEquals(entries(), [
    ["nats:robot", KIND.LEASE_REVOKED, 0, "pre-empted by token:alice (uid 33)"],
    ["token:alice", KIND.LEASE_GRANTED, 0, undefined],
    ["nats:robot", KIND.LEASE_DENIED, 18, undefined],
  ]);
  host!.answers = "later";
  alice.send(KIND.CMD_VM, 3, [3]);
  rig.settle();
  alice.control.leave();
  assertEquals(entries(), [["token:alice", KIND.LEASE_REVOKED, 0, "owner gone"]]);
  host!.answer(10);
  assertEquals(entries(), [["token:alice", KIND.CMD_VM, 10, "reset"]], "its control has left");
  acquire(auditor, 3, 1);
  assertEquals(entries(), [[undefined, KIND.LEASE_GRANTED, 0, undefined]]);
  rig.end();
});

Deno.test("handovers of the last class of a VM and of the first of the next are two", () => {
  const rig = new CoreRig();
  rig.attach(3, SOURCE.VMHOST, SOURCE.INPUT);
  const [, input] = rig.attach(4, SOURCE.VMHOST, SOURCE.INPUT);
  const control = rig.join();
  acquire(control, 3, 4);
  acquire(control, 4, 0);
  rig.settle();
  input!.finalizes = "later";
  const releaseInput = control.send(KIND.CMD_RELEASE, 4, [0]);
  rig.settle();
  const releaseAgent = control.send(KIND.CMD_RELEASE, 3, [4]);
  rig.settle();
  assertEquals(control.of("LEASE_RELEASED").map(({ corr }) => corr), [releaseAgent]);
  input!.finalizing[0]!.done();
  rig.settle();
  assertEquals(control.of("LEASE_RELEASED").map(({ corr }) => corr), [releaseAgent, releaseInput]);
  rig.end();
});
