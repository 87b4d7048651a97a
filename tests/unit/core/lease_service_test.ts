import type { EndpointId } from "../../../src/base/ids.ts";
import { assert, assertEquals } from "@std/assert";
import { MS } from "../../../src/base/clock.ts";
import { maskOf } from "../../../src/access/grant.ts";
import { PASS_THROUGH } from "../../../src/context/policy.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { LEASE_CLASS_NAMES } from "../../../src/event/lease_class.ts";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { acquire, CoreRig, tokenOf } from "./core_rig.ts";

const INPUT = 0;
const POWER = 1;
const KEY = [3, 30, 1];

Deno.test("acquire, work, release: the release is told when the guest is neutral", () => {
  const rig = new CoreRig();
  const [input] = rig.attach(2, SOURCE.INPUT);
  const control = rig.join();
  const granted = acquire(control, 2, INPUT);
  rig.settle();
  assertEquals(control.answer(granted), "LEASE_GRANTED");
  const again = acquire(control, 2, INPUT);
  rig.settle();
  assertEquals(control.of("LEASE_GRANTED").map(tokenOf), [control.token, control.token], "the same token");
  assertEquals(control.answer(again), "LEASE_GRANTED");
  const key = control.send(KIND.CMD_INPUT, 2, KEY, control.token);
  input!.finalizes = "later";
  const release = control.send(KIND.CMD_RELEASE, 2, [INPUT]);
  rig.settle();
  assertEquals(input!.steps, ["command 3", "finalize 0"], "what was sent before is carried out before");
  assertEquals(control.answer(key), 0);
  assertEquals(control.answers(release), []);
  const late = control.send(KIND.CMD_INPUT, 2, KEY);
  const stale = control.send(KIND.CMD_INPUT, 2, KEY, control.token);
  input!.finalizing.shift()?.done();
  rig.settle();
  assertEquals(control.answer(release), "LEASE_RELEASED");
  assertEquals([control.answer(late), control.answer(stale)], [3, 4]);
  rig.end();
});

Deno.test("pre-emption: the owner is told, its waiting commands get 4 and never arrive, only then is the new one told", () => {
  const rig = new CoreRig();
  const [input] = rig.attach(2, SOURCE.INPUT);
  rig.core.setPolicy(SOURCE.INPUT, 1, { ...PASS_THROUGH, minGapNs: 1000 });
  const weak = rig.join({ arbPrio: 1 });
  const equal = rig.join({ arbPrio: 1 });
  const strong = rig.join({ arbPrio: 2 });
  acquire(weak, 2, INPUT);
  const keys = [1, 2, 3].map(() => weak.send(KIND.CMD_INPUT, 2, KEY));
  rig.loop.turn();
  const denied = acquire(equal, 2, INPUT);
  input!.finalizes = "later";
  const taken = acquire(strong, 2, INPUT);
  rig.settle();
  assertEquals(equal.of("LEASE_DENIED").map((event) => [event.corr, event.words[1]]), [[denied, 0]]);
  assertEquals(weak.of("LEASE_REVOKED").map((event) => [event.words[0], event.words[1], event.corr]), [[
    0,
    0,
    0,
  ]]);
  assertEquals(keys.map((corr) => weak.answer(corr)), [0, 4, 4]);
  assertEquals(strong.answers(taken), [], "not before the finalization");
  const early = strong.send(KIND.CMD_INPUT, 2, KEY);
  input!.finalizing.shift()?.done();
  rig.settle();
  assertEquals(strong.answer(taken), "LEASE_GRANTED");
  assertEquals(strong.answer(early), 3);
  rig.loop.turn(5000);
  assertEquals(input!.commands.length, 1);
  assert(strong.token > weak.token);
  rig.end();
});

Deno.test("granted and revoked in one turn: the owner hears it in that order", () => {
  const rig = new CoreRig();
  rig.attach(2, SOURCE.INPUT);
  const weak = rig.join({ arbPrio: 1 });
  const strong = rig.join({ arbPrio: 2 });
  weak.seen.length = 0;
  acquire(weak, 2, INPUT);
  acquire(strong, 2, INPUT);
  rig.settle();
  assertEquals(weak.kinds, ["LEASE_GRANTED", "LEASE_REVOKED"]);
  rig.end();
});

Deno.test("a stronger contender takes the place of one that waits; one that waits and asks again is answered for both", () => {
  const rig = new CoreRig();
  const [input] = rig.attach(2, SOURCE.INPUT);
  const [a, b, c] = [rig.join({ arbPrio: 1 }), rig.join({ arbPrio: 2 }), rig.join({ arbPrio: 3 })];
  acquire(a, 2, INPUT);
  input!.finalizes = "later";
  const first = acquire(b, 2, INPUT);
  const second = acquire(b, 2, INPUT);
  const third = acquire(c, 2, INPUT);
  rig.settle();
  assertEquals(b.of("LEASE_DENIED").map((event) => [event.corr, event.words[1]]), [[first, 0], [second, 4]]);
  input!.finalizing.shift()?.done();
  rig.settle();
  assertEquals(c.answer(third), "LEASE_GRANTED");
  assertEquals(input!.steps, ["finalize 0"], "once");
  rig.end();
});

Deno.test("a release that names an earlier lease's token does not end the present one", () => {
  const rig = new CoreRig();
  rig.attach(2, SOURCE.INPUT);
  const control = rig.join();
  acquire(control, 2, INPUT);
  rig.settle();
  const old = control.token;
  control.send(KIND.CMD_RELEASE, 2, [INPUT], old);
  acquire(control, 2, INPUT);
  const stale = control.send(KIND.CMD_RELEASE, 2, [INPUT], old);
  const key = control.send(KIND.CMD_INPUT, 2, KEY);
  rig.settle();
  assertEquals([control.answer(stale), control.answer(key)], [4, 0]);
  assert(control.token > old);
  rig.end();
});

Deno.test("an owner that dies: each class is brought to rest by the adapter of its own commands", () => {
  const sources = {
    input: SOURCE.INPUT,
    memwrite: SOURCE.MEMCTX,
    console: SOURCE.CONSOLE,
    agent: SOURCE.AGENT,
  };
  for (const [name, source] of Object.entries(sources)) {
    const rig = new CoreRig();
    const [adapter] = rig.attach(2, source);
    const owner = rig.join();
    const cls = LEASE_CLASS_NAMES.indexOf(name);
    acquire(owner, 2, cls);
    rig.settle();
    owner.control.leave();
    rig.settle();
    assertEquals(adapter!.steps, [`finalize ${cls}`], name);
    rig.end();
  }
});

Deno.test("an owner that dies: finalized, free again, nobody is told", () => {
  const rig = new CoreRig();
  const [input] = rig.attach(2, SOURCE.INPUT);
  const owner = rig.join();
  const heir = rig.join({ arbPrio: 1 });
  acquire(owner, 2, INPUT);
  rig.settle();
  input!.finalizes = "later";
  owner.control.leave();
  rig.settle();
  assertEquals(input!.steps, ["finalize 0"]);
  const waiting = acquire(heir, 2, INPUT);
  rig.settle();
  assertEquals(heir.answers(waiting), []);
  // The one that waits dies too.
  heir.control.leave();
  rig.settle();
  input!.finalizing.shift()?.done();
  rig.settle();
  assertEquals(rig.core.leases.ownerOf(2 as EndpointId, INPUT), null);
  assert(!rig.core.leases.inHandover(2 as EndpointId, INPUT));
  rig.end();
});

Deno.test("ttl: an owner that says nothing loses it; whatever it says keeps it", () => {
  const rig = new CoreRig();
  rig.attach(2, SOURCE.INPUT, SOURCE.VMHOST);
  const control = rig.join();
  const other = rig.join();
  acquire(control, 2, INPUT, 50);
  acquire(control, 2, POWER);
  rig.settle();
  assertEquals(control.of("LEASE_GRANTED").map((event) => event.words[4]), [50, 0]);
  const speak: (() => void)[] = [
    () => control.send(KIND.CMD_LEASE_STATUS, 2, [INPUT]),
    () => control.send(KIND.CMD_VM, 63, [0]), // refused, but said
    () => control.publish(KIND.CURSOR_STATE, 2),
    () => acquire(control, 2, INPUT, 50),
  ];
  for (const say of speak) {
    rig.loop.turn(49 * MS);
    other.send(KIND.CMD_LEASE_STATUS, 2, [INPUT]);
    say();
    rig.settle();
    assertEquals(control.of("LEASE_REVOKED"), []);
  }
  const deadline = rig.core.deadlineNs();
  assertEquals(deadline, rig.loop.clock.nowNs() + 50 * MS);
  rig.loop.turn(50 * MS);
  rig.settle();
  assertEquals(control.of("LEASE_REVOKED").map((event) => [event.words[0], event.words[1]]), [[INPUT, 3]]);
  assertEquals(rig.core.deadlineNs(), Infinity, "nothing is due any more");
  assertEquals(
    rig.core.leases.ownerOf(2 as EndpointId, POWER)?.id,
    control.handle.id,
    "one without ttl stays",
  );
  rig.end();
});

Deno.test("status tells the owner's principal, and nobody's when it is free", () => {
  const rig = new CoreRig();
  rig.attach(2, SOURCE.INPUT);
  const owner = rig.join({ principal: 4321 });
  const watcher = rig.join({ caps: CAP.OBSERVE });
  const ask = () => {
    watcher.send(KIND.CMD_LEASE_STATUS, 2, [INPUT]);
    rig.settle();
    return watcher.of("LEASE_STATUS").at(-1)?.words.slice(0, 3);
  };
  assertEquals(ask(), [0, 0, 0]);
  acquire(owner, 2, INPUT);
  rig.settle();
  assertEquals(ask(), [0, 1, 4321]);
  rig.end();
});

Deno.test("a shrunk grant takes its leases and its waiting commands along; a grown one brings what is retained", () => {
  const rig = new CoreRig();
  const [input, host] = rig.attach(2, SOURCE.INPUT, SOURCE.VMHOST);
  const [memory] = rig.attach(40, SOURCE.MEMCTX);
  memory!.at.emit(memory!.at.event(KIND.MEMCTX));
  rig.core.publishRoster(2 as EndpointId, { state: 2, seams: 0, pid: 0, vmid: 2, name: "two" });
  rig.core.publishRoster(40 as EndpointId, { state: 2, seams: 0, pid: 0, vmid: 40, name: "forty" });
  rig.settle();
  rig.core.setPolicy(SOURCE.VMHOST, 1, { ...PASS_THROUGH, minGapNs: 1000 });
  const grant = { principal: 5, endpoints: maskOf([2]), sources: 0x7f, caps: ALL_CAPS, arbPrio: 1 };
  const control = rig.join(grant);
  assertEquals(control.of("ROSTER", "MEMCTX").map((event) => event.endpoint), [2]);
  acquire(control, 2, INPUT);
  acquire(control, 2, POWER);
  const corrs = [0, 1, 3].map((op) => control.send(KIND.CMD_VM, 2, [op]));
  rig.loop.turn();
  rig.core.regrant(control.handle.id, { ...grant, caps: ALL_CAPS & ~CAP.INPUT & ~CAP.VM });
  rig.settle();
  assertEquals(control.of("LEASE_REVOKED").map((event) => event.words[0]), [INPUT]);
  assertEquals(input!.steps, ["finalize 0"]);
  rig.loop.turn(1000);
  rig.settle();
  assertEquals(
    corrs.map((corr) => control.answer(corr)),
    [0, 1, 0],
    "only what is not covered any more is refused",
  );
  assertEquals(host!.commands.map((command) => command.op), [0, 3]);
  rig.core.regrant(control.handle.id, { ...grant, endpoints: maskOf([2, 40]) });
  rig.settle();
  assertEquals(control.of("ROSTER", "MEMCTX").map((event) => [event.kind, event.endpoint]), [
    ["ROSTER", 2],
    ["ROSTER", 40],
    ["MEMCTX", 40],
  ]);
  rig.core.regrant(control.handle.id, { ...grant, endpoints: maskOf([40]) });
  rig.settle();
  assertEquals(control.of("LEASE_REVOKED").map((event) => event.words[0]), [INPUT, POWER]);
  rig.core.forget(2 as EndpointId);
  rig.core.forget(40 as EndpointId);
  rig.end();
});

Deno.test("a detached endpoint ends its leases; a finalization that never ends does not outlive it", () => {
  for (const when of ["now", "later", "never"] as const) {
    const rig = new CoreRig(true);
    const [input] = rig.attach(2, SOURCE.INPUT);
    const owner = rig.join({ arbPrio: 1 });
    const heir = rig.join({ arbPrio: 2 });
    acquire(owner, 2, INPUT);
    rig.settle();
    const old = owner.token;
    input!.finalizes = when;
    input!.closes = "later";
    let waiting: number | undefined;
    if (when !== "now") {
      waiting = acquire(heir, 2, INPUT);
      rig.settle();
    }
    const gone = rig.detach(2);
    rig.settle();
    const refused = acquire(heir, 2, INPUT);
    const late = input!.finalizing.shift();
    input!.closing.shift()?.();
    rig.settle();
    assertEquals(gone.done, 1);
    assertEquals(owner.of("LEASE_REVOKED").map((event) => event.words[1]), [when === "now" ? 2 : 0]);
    if (waiting !== undefined) assertEquals(heir.answer(waiting), 5);
    assertEquals(heir.answer(refused), 5);
    // The number is used again at once; the old adapter's late word must not disturb the new lease.
    const [next] = rig.attach(2, SOURCE.INPUT);
    next!.finalizes = "later";
    acquire(owner, 2, INPUT);
    rig.settle();
    assert(owner.token > old);
    owner.send(KIND.CMD_RELEASE, 2, [INPUT]);
    rig.settle();
    late?.done();
    assert(
      rig.core.leases.inHandover(2 as EndpointId, INPUT),
      "the new handover is not ended by the old adapter",
    );
    next!.finalizing.shift()?.done();
    rig.settle();
    assert(!rig.core.leases.inHandover(2 as EndpointId, INPUT));
    assertEquals(rig.lines.filter((line) => line.includes("twice")), []);
    rig.end();
  }
});
