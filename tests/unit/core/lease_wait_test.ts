/** Waiting for a lease: who gets it when it is given back, how waiting ends, and what is told of it. */
import { assertEquals } from "@std/assert";
import { decode } from "cborg";
import { MS } from "../../../src/base/clock.ts";
import type { EndpointId } from "../../../src/base/ids.ts";
import { MAX_LEASE_WAITERS } from "../../../src/access/lease_waiters.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { acquire, CoreRig, type TestControl } from "./core_rig.ts";

const WAIT = 1;
const INPUT = 0;

function claim(control: TestControl, message = "", flags = WAIT, endpoint = 3): number {
  const body = message === "" ? undefined : new TextEncoder().encode(message);
  return control.send(KIND.CMD_LEASE_CLAIM, endpoint, [INPUT, flags, 0], 0, body);
}

/** Kinds of the answers to a corr. */
function answersTo(control: TestControl, corr: number): string[] {
  return control.seen.filter((event) => event.corr === corr).map(({ kind }) => kind);
}

function rigWithVm(): CoreRig {
  const rig = new CoreRig();
  rig.attach(3, SOURCE.VMHOST, SOURCE.INPUT);
  return rig;
}

Deno.test("a lease that is given back goes to the strongest who waits, and of equals to who came first", () => {
  const rig = rigWithVm();
  const owner = rig.join({ arbPrio: 10 });
  const [first, second, strong] = [1, 1, 5].map((arbPrio) => rig.join({ arbPrio }));
  acquire(owner, 3, INPUT);
  const corrs = [first, second, strong].map((control) => claim(control!));
  rig.settle();
  assertEquals([first, second, strong].map((control, i) => answersTo(control!, corrs[i]!)), [[], [], []]);
  owner.send(KIND.CMD_RELEASE, 3, [INPUT]);
  rig.settle();
  assertEquals(answersTo(strong!, corrs[2]!), ["LEASE_GRANTED"]);
  strong!.control.leave();
  rig.settle();
  assertEquals(answersTo(first!, corrs[0]!), ["LEASE_GRANTED"]);
  assertEquals(answersTo(second!, corrs[1]!), []);
  // Who comes meanwhile does not overtake: neither while it is owned nor in the handover.
  const late = rig.join({ arbPrio: 1 });
  const denied = acquire(late, 3, INPUT);
  first!.send(KIND.CMD_RELEASE, 3, [INPUT]);
  const tooLate = acquire(late, 3, INPUT);
  rig.settle();
  assertEquals([answersTo(late, denied), answersTo(late, tooLate)], [["LEASE_DENIED"], ["LEASE_DENIED"]]);
  assertEquals(answersTo(second!, corrs[1]!), ["LEASE_GRANTED"]);
  rig.end();
});

Deno.test("in a handover the turn is that of who waits, unless a stronger one comes", () => {
  const rig = new CoreRig();
  const [, input] = rig.attach(3, SOURCE.VMHOST, SOURCE.INPUT);
  const owner = rig.join({ arbPrio: 10 });
  const waiter = rig.join({ arbPrio: 1 });
  const equal = rig.join({ arbPrio: 1 });
  const strong = rig.join({ arbPrio: 2 });
  acquire(owner, 3, INPUT);
  const waits = claim(waiter);
  input!.finalizes = "later";
  owner.send(KIND.CMD_RELEASE, 3, [INPUT]);
  rig.settle();
  const ofEqual = acquire(equal, 3, INPUT);
  const ofStrong = acquire(strong, 3, INPUT);
  rig.settle();
  assertEquals(answersTo(equal, ofEqual), ["LEASE_DENIED"]);
  input!.finalizes = "now";
  input!.finalizing.shift()!.done();
  rig.settle();
  assertEquals([answersTo(strong, ofStrong), answersTo(waiter, waits)], [["LEASE_GRANTED"], []]);
  strong.control.leave();
  rig.settle();
  assertEquals(answersTo(waiter, waits), ["LEASE_GRANTED"]);
  rig.end();
});

Deno.test("a successor that waits goes back into the queue when a stronger one displaces it", () => {
  const rig = new CoreRig();
  const [, input] = rig.attach(3, SOURCE.VMHOST, SOURCE.INPUT);
  input!.finalizes = "later";
  const owner = rig.join({ arbPrio: 1 });
  const middle = rig.join({ arbPrio: 5 });
  const strong = rig.join({ arbPrio: 9 });
  acquire(owner, 3, INPUT);
  rig.settle();
  const ofMiddle = claim(middle);
  const ofStrong = claim(strong);
  rig.settle();
  assertEquals(owner.of("LEASE_REVOKED").length, 1);
  input!.finalizes = "now";
  input!.finalizing.shift()!.done();
  rig.settle();
  assertEquals([answersTo(strong, ofStrong), answersTo(middle, ofMiddle)], [["LEASE_GRANTED"], []]);
  strong.send(KIND.CMD_RELEASE, 3, [INPUT]);
  rig.settle();
  assertEquals(answersTo(middle, ofMiddle), ["LEASE_GRANTED"]);
  rig.end();
});

Deno.test("waiting ends: given up, asked anew, right lost, left, the VM gone; each is answered once", () => {
  const rig = rigWithVm();
  const owner = rig.join({ arbPrio: 10 });
  acquire(owner, 3, INPUT);
  const [giver, again, loser, leaver, stays] = Array.from({ length: 5 }, () => rig.join({ arbPrio: 1 }));
  const corrs = [giver, again, loser, leaver, stays].map((control) => claim(control!));
  rig.settle();
  const release = giver!.send(KIND.CMD_RELEASE, 3, [INPUT]);
  const second = claim(again!);
  rig.core.regrant(loser!.handle.id, { ...loser!.handle.grant, caps: ALL_CAPS & ~CAP.INPUT });
  leaver!.control.leave();
  rig.settle();
  assertEquals([answersTo(giver!, corrs[0]!), answersTo(giver!, release)], [["LEASE_DENIED"], [
    "LEASE_RELEASED",
  ]]);
  assertEquals(giver!.of("LEASE_DENIED")[0]?.words[1], 5, "withdrawn");
  assertEquals([answersTo(again!, corrs[1]!), answersTo(again!, second)], [["LEASE_DENIED"], []]);
  assertEquals(loser!.of("LEASE_DENIED").map(({ words }) => words[1]), [1], "nocap");
  // Who neither owns nor waits has nothing to give back.
  const nothing = giver!.send(KIND.CMD_RELEASE, 3, [INPUT]);
  rig.settle();
  assertEquals(giver!.answer(nothing), 3);
  rig.core.detach(3 as EndpointId, "detached", () => {});
  rig.settle();
  assertEquals([again!.answer(second), stays!.answer(corrs[4]!)], [5, 5]);
  rig.end();
});

Deno.test("so many wait and no more; a claim without the flag is denied at once", () => {
  const rig = rigWithVm();
  const owner = rig.join({ arbPrio: 10 });
  acquire(owner, 3, INPUT);
  const waiters = Array.from({ length: MAX_LEASE_WAITERS }, () => rig.join({ arbPrio: 1 }));
  for (const each of waiters) claim(each);
  const last = rig.join({ arbPrio: 1 });
  const full = claim(last);
  const plain = claim(last, "why", 0);
  rig.settle();
  assertEquals([answersTo(last, full), answersTo(last, plain)], [["LEASE_DENIED"], ["LEASE_DENIED"]]);
  assertEquals(waiters.every((each) => each.of("LEASE_DENIED").length === 0), true);
  rig.end();
});

Deno.test("who has a lease and who waits, with why, is told to who asks, and to who observes when it changed", () => {
  const rig = rigWithVm();
  const watcher = rig.join({ caps: CAP.OBSERVE });
  const blind = rig.join({ caps: CAP.VM });
  const alice = rig.join({ principal: 33, as: "token:alice", arbPrio: 10 });
  const robot = rig.join({ principal: 44, arbPrio: 1 });
  claim(alice, "a look\u001b[2Jaround");
  rig.settle();
  claim(robot, "nightly", WAIT);
  rig.settle();
  assertEquals(watcher.of("LEASE_WHO").length, 0, "not each change");
  rig.loop.turn(100 * MS);
  rig.settle();
  const [told] = watcher.of("LEASE_WHO");
  const { owner, waiting, more } = decode(told!.body) as Record<string, unknown>;
  const { since, ...who } = owner as Record<string, unknown>;
  assertEquals(who, {
    principal: 33,
    as: "token:alice",
    control: alice.handle.id,
    name: "test",
    message: "a look\\x1b[2Jaround",
  });
  assertEquals(typeof since, "number");
  assertEquals((waiting as Record<string, unknown>[]).map(({ principal, message }) => [principal, message]), [
    [44, "nightly"],
  ]);
  assertEquals([more, told?.words[0], told?.endpoint, watcher.of("LEASE_WHO").length], [0, INPUT, 3, 1]);
  assertEquals(blind.of("LEASE_WHO"), []);
  const corr = watcher.send(KIND.CMD_LEASE_WHO, 3, [1]);
  const refused = blind.send(KIND.CMD_LEASE_WHO, 3, [1]);
  rig.settle();
  const answer = watcher.seen.find((event) => event.corr === corr);
  assertEquals(decode(answer!.body), { owner: null, waiting: [], more: 0 });
  assertEquals(blind.answer(refused), 1);
  alice.send(KIND.CMD_RELEASE, 3, [INPUT]);
  rig.loop.turn(100 * MS);
  rig.settle();
  rig.loop.turn(100 * MS);
  rig.settle();
  const last = decode(watcher.of("LEASE_WHO").at(-1)!.body) as { owner: { principal: number } };
  assertEquals(last.owner.principal, 44);
  rig.end();
});
