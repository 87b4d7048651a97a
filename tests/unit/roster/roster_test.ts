import type { EndpointSlot } from "../../../src/core/endpoint_slot.ts";
import { assert, assertEquals } from "@std/assert";
import { SILENT } from "../../../src/base/log.ts";
import { SOURCE, type Source } from "../../../src/event/source.ts";
import { KIND } from "../../../src/event/kind.ts";
import { readText } from "../../../src/event/inline_text.ts";
import { Roster } from "../../../src/roster/roster.ts";
import { Slots } from "../../../src/roster/slots.ts";
import { CoreRig, type Seen } from "../core/core_rig.ts";
import { FakeAdapter } from "../core/fake_adapter.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

class RosterRig extends CoreRig {
  changes = 0;
  readonly roster = new Roster(this.core, SILENT, () => this.changes++);
  readonly made: FakeAdapter[][] = [];

  override onSeam(slot: EndpointSlot): void {
    this.roster.seamChanged(slot);
  }

  add(name: string, vmid = 0, ...sources: Source[]) {
    return this.roster.attach({
      name,
      vmid,
      make: () => {
        const adapters = sources.map((source) => new FakeAdapter(source));
        this.made.push(adapters);
        return adapters;
      },
    });
  }
}

function entry(event: Seen) {
  const [state, seams, pid, vmid] = event.words;
  const name = readText(new Uint8Array(new Uint32Array(event.words).buffer), 16, 32);
  return { endpoint: event.endpoint, state, seams, pid, vmid, name };
}

const HOST = 1 << SOURCE.VMHOST;
const INPUT = 1 << SOURCE.INPUT;

Deno.test("an endpoint's entry follows its seams, and is gone with it", () => {
  const rig = new RosterRig();
  const control = rig.join();
  const outcome = rig.add("web", 7, SOURCE.INPUT, SOURCE.VMHOST);
  assertEquals(outcome, { ok: true, id: 7 as never });
  rig.settle();
  const states = () => control.of("ROSTER").map(entry).map(({ state, seams }) => [state, seams]);
  assertEquals(states(), [[1, 0], [1, INPUT], [2, INPUT | HOST]], "up once the host seam is");
  assertEquals(entry(control.of("ROSTER")[2]!), {
    endpoint: 7,
    state: 2,
    seams: INPUT | HOST,
    pid: 0,
    vmid: 7,
    name: "web",
  });
  const [input, host] = rig.made[0]!;
  const down = host!.at.event(KIND.SEAM_DOWN);
  host!.at.emit(down);
  const up = host!.at.event(KIND.SEAM_UP);
  up.words[1] = 4711;
  host!.at.emit(up);
  input!.at.emit(input!.at.event(KIND.SEAM_DOWN));
  rig.settle();
  assertEquals(states().slice(3), [[3, INPUT], [2, INPUT | HOST], [2, HOST]]);
  assertEquals(entry(control.of("ROSTER").at(-1)!).pid, 4711);
  assertEquals(rig.roster.idOf("web"), 7 as never);
  let gone = 0;
  rig.roster.detach("web", "detached", () => gone++);
  rig.roster.detach("web", "detached", () => gone++);
  rig.settle();
  assertEquals(gone, 2, "whoever asks is told");
  assertEquals(states().at(-1), [0, 0]);
  assertEquals(
    control.seen.filter((event) => event.kind === "ROSTER" || event.kind === "SEAM_DOWN").at(-1)?.kind,
    "ROSTER",
  );
  assertEquals([rig.roster.names(), rig.roster.idOf("web")], [[], undefined]);
  assertEquals(rig.join().of("ROSTER"), [], "nothing is retained of it");
  assertEquals(rig.changes, 2);
  rig.end();
});

Deno.test("an endpoint without a host seam is up with any seam; a name is cut where it fits", () => {
  const rig = new RosterRig();
  const control = rig.join();
  const long = "ü".repeat(20);
  rig.add(long, 0, SOURCE.FRAME);
  rig.settle();
  assertEquals(entry(control.of("ROSTER").at(-1)!), {
    endpoint: 0,
    state: 2,
    seams: 1 << SOURCE.FRAME,
    pid: 0,
    vmid: 0,
    name: "ü".repeat(15),
  });
  rig.roster.detach(long, "detached");
  rig.end();
});

Deno.test("names and vmids are unique, 64 endpoints are all there are", () => {
  const rig = new RosterRig();
  assert(rig.add("a", 5).ok);
  assertEquals(rig.add("a", 6).ok, false);
  assertEquals(rig.add("b", 5).ok, false);
  for (let i = 1; i < 64; i++) assert(rig.add(`n${i}`).ok);
  const full = rig.add("one more");
  assert(!full.ok && full.reason.includes("64"));
  rig.roster.detach("n10", "detached");
  assert(rig.add("one more").ok);
  assertEquals(rig.roster.names().length, 64);
  for (const name of rig.roster.names()) rig.roster.detach(name, "detached");
  rig.end();
});

Deno.test("a detach that takes its time keeps the name and the number until it is done", () => {
  const rig = new RosterRig();
  rig.add("slow", 3, SOURCE.VMHOST);
  const [host] = rig.made[0]!;
  host!.closes = "later";
  rig.roster.detach("slow", "detached");
  rig.settle();
  assertEquals([rig.roster.idOf("slow"), rig.roster.names()], [undefined, ["slow"]]);
  assertEquals(rig.add("slow").ok, false);
  assertEquals(rig.add("other", 3).ok, false);
  host!.closing.shift()?.();
  assertEquals(rig.add("slow", 3).ok, true);
  rig.roster.detach("slow", "detached");
  rig.end();
});

Deno.test("what joins at any moment sees the same roster as who was there all along", () => {
  withSeed((random) => {
    const rig = new RosterRig();
    const watcher = rig.join();
    const names: string[] = [];
    for (let step = 0; step < 300; step++) {
      if (names.length < 10 && random.oneIn(2)) {
        const name = `vm${step}`;
        if (rig.add(name, random.oneIn(2) ? 1 + random.below(80) : 0, SOURCE.VMHOST, SOURCE.INPUT).ok) {
          names.push(name);
        }
      } else if (names.length > 0 && random.oneIn(2)) {
        rig.roster.detach(names.splice(random.below(names.length), 1)[0] as string, "detached");
      } else if (rig.made.length > 0) {
        const adapters = rig.made[random.below(rig.made.length)] as FakeAdapter[];
        const adapter = adapters[random.below(2)] as FakeAdapter;
        adapter.at.emit(adapter.at.event(random.oneIn(2) ? KIND.SEAM_UP : KIND.SEAM_DOWN));
      }
      if (random.oneIn(3)) rig.settle();
      if (!random.oneIn(20)) continue;
      rig.settle();
      const late = rig.join();
      const live = new Map<number, unknown>();
      for (const event of watcher.of("ROSTER")) {
        if (event.words[0] === 0) live.delete(event.endpoint);
        else live.set(event.endpoint, entry(event));
      }
      const sorted = [...live].sort(([a], [b]) => a - b).map(([, value]) => value);
      assertEquals(late.of("ROSTER").map(entry), sorted as never);
      assertEquals(live.size, rig.roster.names().length);
      late.control.leave();
    }
    for (const name of rig.roster.names()) rig.roster.detach(name, "detached");
    rig.end();
  });
});

Deno.test("numbers: by vmid, the same one again, then fresh ones, then the longest unused", () => {
  const slots = new Slots();
  assertEquals(slots.take(9, "nine"), 9 as never);
  assertEquals(slots.take(9 + 64, "far"), 0 as never);
  assertEquals(slots.take(0, "plain"), 1 as never);
  slots.giveBack(9 as never);
  assertEquals(slots.take(0, "other"), 2 as never, "not the number that was somebody else's");
  assertEquals(slots.take(9, "renamed"), 9 as never, "who has a vmid is known by it");
  for (let i = 3; i < 64; i++) if (i !== 9) assertEquals(slots.take(0, `f${i}`), i as never);
  assertEquals([slots.taken, slots.take(0, "none")], [64, undefined]);
  slots.giveBack(20 as never);
  slots.giveBack(4 as never);
  assertEquals(
    slots.take(4, "four"),
    20 as never,
    "no number is fresh any more: the one that is free the longest",
  );
  assertEquals(slots.take(0, "f20"), 4 as never);
});
