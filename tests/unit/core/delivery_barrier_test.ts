/** CMD_BARRIER in the core: what was accepted before it is delivered before its answer. */
import { assert, assertEquals } from "@std/assert";
import { maskOf } from "../../../src/access/grant.ts";
import { subscriptionOf } from "../../../src/access/subscription.ts";
import { type EndpointId, NO_ENDPOINT } from "../../../src/base/ids.ts";
import { DROP, PASS_THROUGH } from "../../../src/context/policy.ts";
import { VM_OP } from "../../../src/event/body_number.ts";
import { CAP } from "../../../src/event/capability.ts";
import { KIND } from "../../../src/event/kind.ts";
import { PRIO, type Prio } from "../../../src/event/priority.ts";
import { SOURCE, type Source } from "../../../src/event/source.ts";
import { BODY } from "../../../src/event/transfer_event.ts";
import { type SeededRandom, withSeed } from "../../fixtures/seeded_random.ts";
import { acquire, CoreRig, type TestControl } from "./core_rig.ts";

const UP = 0;
const BARRIER = 112;
const CURSOR = 37;

/** Submits an event of a seam past its budget, as the core takes it. */
function emit(rig: CoreRig, endpoint: number, source: number, prio: number, n: number): void {
  const event = rig.core.bus.event(CURSOR, source as Source, endpoint as EndpointId);
  event.prio = prio as Prio;
  event.words[0] = n;
  rig.core.bus.up(event);
}

/** The answers to a barrier, as [code, priority, held sources]. */
function answersTo(control: TestControl, corr: number): number[][] {
  return control.of("ACT_ACK").filter((event) => event.corr === corr).map(({ words, prio }) => [
    words[1] as number,
    prio,
    words[3] as number,
  ]);
}

Deno.test("a barrier is answered once, at the lowest priority, behind what was kept and what came since", () => {
  const rig = new CoreRig();
  rig.attach(0, SOURCE.VMHOST);
  rig.core.publishRoster(0 as EndpointId, { state: 2, seams: 0, pid: 0, vmid: 1, name: "vm0" });
  rig.settle();
  const control = rig.join();
  emit(rig, 0, SOURCE.VMHOST, PRIO.BULK, 1);
  emit(rig, 0, SOURCE.FRAME, PRIO.URGENT, 2);
  const corr = control.send(BARRIER, NO_ENDPOINT);
  emit(rig, 0, SOURCE.VMHOST, PRIO.URGENT, 3);
  assertEquals(control.handle.outstanding, 1);
  rig.settle();
  const kinds = control.seen.map(({ kind, words }) => kind === "CURSOR_STATE" ? words[0] : kind);
  assertEquals(kinds, ["ROSTER", 2, 3, 1, "ACT_ACK"]);
  assertEquals(answersTo(control, corr), [[0, PRIO.BULK, 0]]);
  assertEquals(control.seen.at(-1)?.endpoint, NO_ENDPOINT);
  assertEquals(control.handle.outstanding, 0);
  rig.core.forget(0 as EndpointId);
  rig.end();
});

Deno.test("it needs no capability and no endpoint, and stays possible when the grant shrinks to nothing", () => {
  const rig = new CoreRig();
  const control = rig.join({ caps: CAP.ROSTER, endpoints: maskOf([5]), sources: 0 });
  const first = control.send(BARRIER, NO_ENDPOINT);
  rig.settle();
  rig.core.regrant(control.handle.id, { ...control.handle.grant, caps: 0, endpoints: maskOf([]) });
  const second = control.send(BARRIER, NO_ENDPOINT);
  rig.settle();
  assertEquals([first, second].map((corr) => control.answer(corr)), [0, 0]);
  rig.end();
});

Deno.test("an endpoint or a body: bad-argument, at the priority of any other refusal", () => {
  const rig = new CoreRig();
  rig.attach(0, SOURCE.VMHOST);
  const control = rig.join();
  const corrs = [0, 63, 64, 0xfffffffe].map((endpoint) => control.send(BARRIER, endpoint));
  corrs.push(control.control.send(BARRIER, NO_ENDPOINT, (event) => {
    event.copyBody(BODY.RAW, Uint8Array.of(1), 0, 1);
  }));
  rig.settle();
  for (const corr of corrs) assertEquals(answersTo(control, corr), [[7, PRIO.NORMAL, 0]]);
  assertEquals(control.handle.outstanding, 0);
  rig.end();
});

Deno.test("several controls: each is answered for itself alone, however many ask in one turn", () => {
  const rig = new CoreRig();
  rig.attach(0, SOURCE.VMHOST);
  const controls = Array.from({ length: 20 }, () => rig.join());
  const corrs = controls.map((control, i) => {
    emit(rig, 0, SOURCE.VMHOST, i % 4, i);
    return [control.send(BARRIER, NO_ENDPOINT), control.send(BARRIER, NO_ENDPOINT)];
  });
  rig.settle();
  controls.forEach((control, i) => {
    assertEquals(control.of("ACT_ACK").map((event) => event.corr), corrs[i]);
    const before = control.seen.slice(0, control.kinds.indexOf("ACT_ACK"));
    assert(before.filter((event) => event.kind === "CURSOR_STATE").length > i);
  });
  rig.end();
});

Deno.test("what its control sent before is handed over first, and what is refused of it is answered first", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(0, SOURCE.VMHOST, SOURCE.INPUT);
  const control = rig.join({ caps: CAP.VM | CAP.INPUT });
  const lease = acquire(control, 0, 0);
  const cont = control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  const reset = control.send(KIND.CMD_VM, 0, [VM_OP.RESET]);
  const barrier = control.send(BARRIER, NO_ENDPOINT);
  assertEquals(host!.commands.length, 1, "it is with its adapter when the barrier is taken");
  rig.settle();
  const order = control.seen.map((event) => event.corr).filter((corr) => corr !== 0);
  assertEquals(order.at(-1), barrier);
  assertEquals(order.toSorted((a, b) => a - b), [lease, cont, reset, barrier]);
  // A command that its adapter has not answered does not hold it up.
  host!.answers = "later";
  const slow = control.send(KIND.CMD_VM, 0, [VM_OP.CONT]);
  const after = control.send(BARRIER, NO_ENDPOINT);
  rig.settle();
  assertEquals([control.answers(slow), control.answers(after)], [[], [0]]);
  host!.answer();
  rig.settle();
  assertEquals(control.answer(slow), 0);
  rig.end();
});

Deno.test("sent from within a delivery: the answer comes behind all that waited with that event", () => {
  const rig = new CoreRig();
  rig.attach(0, SOURCE.VMHOST);
  const control = rig.join();
  let corr = 0;
  control.onEvent = (event) => {
    if (event.kind === CURSOR && event.words[0] === 1) corr = control.send(BARRIER, NO_ENDPOINT);
    if (event.kind === KIND.ACT_ACK && event.corr === corr) control.send(BARRIER, NO_ENDPOINT);
  };
  for (let n = 1; n <= 5; n++) emit(rig, 0, SOURCE.VMHOST, PRIO.NORMAL, n);
  rig.loop.turn();
  assertEquals(control.kinds.slice(0, 7), [...new Array(5).fill("CURSOR_STATE"), "ACT_ACK"]);
  // One that is sent from within an answer waits for its own turn: no turn goes on for ever.
  assert(rig.core.deadlineNs() <= rig.loop.clock.nowNs());
  rig.loop.turn();
  assertEquals(control.kinds.at(-1), "ACT_ACK");
  control.onEvent = () => {};
  rig.settle();
  rig.end();
});

Deno.test("what pacing holds back does not hold up the answer, which names its source until it has come", () => {
  const rig = new CoreRig();
  rig.attach(0, SOURCE.VMHOST);
  const policies = [
    { ...PASS_THROUGH, minGapNs: 1000 },
    { ...PASS_THROUGH, coalesceNs: 3000 },
    { ...PASS_THROUGH, minGapNs: 1000, maxInflight: 1, drop: DROP.BLOCK },
  ];
  for (const policy of policies) {
    rig.core.setPolicy(SOURCE.VMHOST, UP, policy);
    const all = rig.join();
    const other = rig.join({ sources: 1 << SOURCE.FRAME });
    for (let n = 1; n <= 4; n++) emit(rig, 0, SOURCE.VMHOST, PRIO.NORMAL, n);
    const corrs = [all.send(BARRIER, NO_ENDPOINT), other.send(BARRIER, NO_ENDPOINT)];
    rig.settle();
    assertEquals(answersTo(all, corrs[0]!), [[0, PRIO.BULK, 1 << SOURCE.VMHOST]]);
    // A source that is not in its grant is not told of.
    assertEquals(answersTo(other, corrs[1]!), [[0, PRIO.BULK, 0]]);
    let held = 1;
    for (let tries = 0; held !== 0; tries++) {
      assert(tries < 20, "what is held comes in the end");
      rig.loop.turn(1000);
      const corr = all.send(BARRIER, NO_ENDPOINT);
      rig.settle();
      held = answersTo(all, corr)[0]![2]!;
    }
    assertEquals(all.of("CURSOR_STATE").at(-1)?.words[0], 4);
    rig.core.setPolicy(SOURCE.VMHOST, UP, PASS_THROUGH);
    rig.settle();
  }
  rig.end();
});

Deno.test("without a corr it is silent; of one that leaves nothing is left", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(0, SOURCE.VMHOST);
  const control = rig.join();
  const silent = rig.core.event(BARRIER);
  silent.endpoint = NO_ENDPOINT;
  control.handle.send(silent);
  rig.settle();
  assertEquals([control.kinds, control.handle.outstanding], [[], 0]);
  control.send(BARRIER, NO_ENDPOINT);
  control.control.leave();
  rig.settle();
  // As the core ends, with one that nobody has looked at.
  const last = rig.join();
  last.send(BARRIER, NO_ENDPOINT);
  rig.core.leave(rig.core.fanOut.controls.get(last.handle.id)!, "end");
  assertEquals(host!.commands, []);
  rig.end();
});

/** One barrier of the model: what must have been seen when its answer comes. */
interface Asked {
  readonly corr: number;
  readonly before: readonly { readonly source: number; readonly n: number }[];
}

Deno.test("random traffic: no event that was accepted before a barrier arrives after its answer", () => {
  for (let round = 0; round < 40; round++) withSeed(randomTraffic);
});

function randomTraffic(random: SeededRandom): void {
  const rig = new CoreRig();
  const sources = [SOURCE.FRAME, SOURCE.INPUT, SOURCE.VMHOST, SOURCE.MEMCTX];
  for (let endpoint = 0; endpoint < 4; endpoint++) rig.attach(endpoint, SOURCE.VMHOST);
  for (const source of sources) {
    if (random.oneIn(2)) continue;
    rig.core.setPolicy(source, UP, {
      ...PASS_THROUGH,
      minGapNs: random.oneIn(2) ? 0 : random.below(500),
      // Not folding: an event that a newer one has replaced never comes.
      maxInflight: random.oneIn(2) ? 0 : 4000,
      drop: DROP.BLOCK,
    });
  }
  const controls = Array.from({ length: 5 }, (_, i) => {
    const endpoints = i === 0 ? [0, 1, 2, 3] : [random.below(4), random.below(4)];
    const wanted = i === 0 ? 0x7f : random.u32() & 0x7f;
    const subscription = subscriptionOf(wanted, random.below(3) as Prio, maskOf([]));
    const control = rig.join({ endpoints: maskOf(endpoints), caps: CAP.OBSERVE }, subscription);
    return {
      control,
      endpoints,
      subscription,
      got: [] as { source: number; n: number }[],
      asked: [] as Asked[],
    };
  });
  let n = 0;
  for (let step = 0; step < 400; step++) {
    if (random.oneIn(6)) {
      rig.loop.turn(random.below(300));
      continue;
    }
    if (random.oneIn(4)) {
      const each = controls[random.below(controls.length)]!;
      each.asked.push({ corr: each.control.send(BARRIER, NO_ENDPOINT), before: [...each.got] });
      continue;
    }
    const source = sources[random.below(sources.length)]!;
    const [endpoint, prio] = [random.below(4), random.below(4)];
    emit(rig, endpoint, source, prio, ++n);
    for (const { endpoints, subscription, got } of controls) {
      const isWanted = ((subscription.sources >>> source) & 1) === 1 && prio >= subscription.prioMin;
      if (isWanted && endpoints.includes(endpoint)) got.push({ source, n });
    }
  }
  for (let i = 0; i < 400; i++) rig.loop.turn(500);
  for (const { control, asked, got } of controls) {
    const place = new Map(
      control.seen.flatMap(({ kind, words }, i) =>
        kind === "CURSOR_STATE" ? [[words[0] as number, i] as const] : []
      ),
    );
    assertEquals(place.size, got.length, "every event that it is to see has come in the end");
    for (const { corr, before } of asked) {
      const at = control.seen.findIndex((event) => event.corr === corr);
      assertEquals(control.answer(corr), 0);
      const held = control.seen[at]!.words[3] as number;
      for (const event of before) {
        if (((held >>> event.source) & 1) === 1) continue;
        assert(place.get(event.n)! < at, `event ${event.n} of source ${event.source} came after the answer`);
      }
    }
  }
  rig.end();
}
