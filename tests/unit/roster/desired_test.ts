import type { EndpointSlot } from "../../../src/core/endpoint_slot.ts";
import { assert, assertEquals } from "@std/assert";
import { Log } from "../../../src/base/log.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { Desired, TRUST, type Trust } from "../../../src/roster/desired.ts";
import { Roster } from "../../../src/roster/roster.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";
import { CoreRig } from "../core/core_rig.ts";
import { FakeAdapter } from "../core/fake_adapter.ts";

interface Wanted {
  readonly name: string;
  readonly vmid: number;
  readonly version?: number;
  readonly qmp?: string;
}

/** An adapter that closes when the test says so: a VM whose keys are being released. */
class SlowAdapter extends FakeAdapter {
  finish: () => void = () => {};

  override close(...[reason, closed]: Parameters<FakeAdapter["close"]>): void {
    this.finish = () => super.close(reason, closed);
  }
}

class Rig extends CoreRig {
  readonly said: string[] = [];
  readonly roster = new Roster(this.core, new Log("test", "error", () => {}), () => {});
  readonly made: SlowAdapter[] = [];
  slow = false;
  readonly desired = new Desired<Wanted>(
    this.roster,
    ({ name, vmid }) => ({ name, vmid, make: () => [this.#adapter()] }),
    new Log("test", "error", (line) => this.said.push(line)),
  );

  override onSeam(slot: EndpointSlot): void {
    this.roster.seamChanged(slot);
  }

  #adapter(): FakeAdapter {
    if (!this.slow) return new FakeAdapter(SOURCE.VMHOST);
    const adapter = new SlowAdapter(SOURCE.VMHOST);
    this.made.push(adapter);
    return adapter;
  }
}

Deno.test("what changes is attached anew, what stays the same is left alone", () => {
  const rig = new Rig();
  rig.desired.want("a", { name: "vm", vmid: 3, version: 1 });
  const first = rig.core.endpoint(3);
  rig.desired.want("a", { name: "vm", vmid: 3, version: 1 });
  assert(rig.core.endpoint(3) === first);
  rig.desired.want("a", { name: "vm", vmid: 3, version: 2 });
  assert(rig.core.endpoint(3) !== first && rig.core.endpoint(3) !== null);
  rig.desired.want("a", { name: "other", vmid: 0 });
  assertEquals(rig.roster.names(), ["other"]);
  assertEquals([rig.desired.wantedBy("a")?.name, rig.desired.wantedBy("b")], ["other", undefined]);
  assert(rig.desired.some(({ name }) => name === "other") && !rig.desired.some(({ name }) => name === "vm"));
  let done = 0;
  rig.desired.drop("a", () => done++);
  rig.desired.drop("nobody", () => done++);
  assertEquals([rig.roster.names(), rig.desired.askers(), done], [[], [], 2]);
  assertEquals(rig.said, []);
  rig.end();
});

Deno.test("while an endpoint is on its way out, who wants its name waits without a word", () => {
  const rig = new Rig();
  rig.slow = true;
  rig.desired.want("a", { name: "vm", vmid: 3 });
  rig.desired.drop("a");
  rig.desired.want("a", { name: "vm", vmid: 4 });
  rig.desired.want("a", { name: "vm", vmid: 5 });
  rig.desired.want("b", { name: "second", vmid: 3 });
  assertEquals([rig.roster.names(), rig.said], [["vm"], []]);
  rig.made[0]!.finish();
  assertEquals(rig.roster.names().sort(), ["second", "vm"]);
  assertEquals([rig.roster.idOf("vm"), rig.roster.idOf("second")], [5 as never, 3 as never]);
  rig.desired.drop("a");
  rig.desired.drop("b");
  for (const adapter of rig.made.slice(1)) adapter.finish();
  assertEquals([rig.roster.names(), rig.said], [[], []]);
  rig.end();
});

Deno.test("what somebody has named puts out what was only found with its name, its monitor or the last place", () => {
  const rig = new Rig();
  rig.desired.want("probe:1", { name: "web", vmid: 0, qmp: "/a" }, TRUST.OWN);
  rig.desired.want("probe:2", { name: "db", vmid: 0, qmp: "/b" }, TRUST.FOUND);
  rig.desired.want("probe:3", { name: "web", vmid: 0, qmp: "/c" }, TRUST.OWN);
  assertEquals([rig.roster.names(), rig.said.length], [["web", "db"], 1], "among equals the first one stays");
  const first = rig.core.endpoint(0);
  rig.desired.want("file:web", { name: "web", vmid: 0, qmp: "/d" });
  assertEquals(rig.roster.names(), ["db", "web"]);
  assert(rig.core.endpoint(0) !== first);
  rig.desired.want("config:other", { name: "other", vmid: 0, qmp: "/b" });
  assertEquals(rig.roster.names(), ["web", "other"]);
  // A second one for one monitor would wait for ever for the first to let go of it.
  rig.desired.want("config:same", { name: "same", vmid: 0, qmp: "/b" });
  assertEquals(rig.roster.names(), ["web", "other"]);
  assert(rig.said.at(-1)?.includes("cannot attach same of config:same: its monitor is other's already"));
  rig.desired.drop("config:same");
  rig.desired.drop("config:other");
  assertEquals(rig.roster.names(), ["web", "db"], "and what was put out comes back");
  for (let i = 0; i < 70; i++) rig.desired.want(`probe:1${i}`, { name: `vm${i}`, vmid: 0 }, TRUST.FOUND);
  assertEquals(rig.roster.isFull, true);
  rig.desired.want("probe:own", { name: "own", vmid: 0 }, TRUST.OWN);
  rig.desired.want("file:named", { name: "named", vmid: 0 });
  const names = rig.roster.names();
  assertEquals([names.length, names.includes("own"), names.includes("named")], [64, true, true]);
  assertEquals([names.includes("vm0"), names.includes("vm61")], [true, false], "the last one went");
  rig.end();
});

Deno.test("seeded: whatever askers want and drop, a name or number has one owner, and whoever can be there is", () => {
  for (let run = 0; run < 20; run++) {
    withSeed((random) => {
      const rig = new Rig();
      const wishes = new Map<string, Wanted>();
      const trustOf = (asker: string) => Number(asker.slice(-1)) % 3 as Trust;
      for (let step = 0; step < 300; step++) {
        const asker = `asker${random.below(90)}`;
        if (random.oneIn(3)) {
          rig.desired.drop(asker);
          wishes.delete(asker);
        } else {
          const qmp = `/${random.below(70)}`;
          const wish = {
            name: `vm${random.below(80)}`,
            vmid: random.below(40),
            version: random.below(2),
            qmp,
          };
          rig.desired.want(asker, wish, trustOf(asker));
          wishes.set(asker, wish);
        }
        const slots = rig.core.endpoints();
        const names = slots.map((slot) => slot.name);
        const vmids = slots.map((slot) => slot.vmid).filter((vmid) => vmid > 0);
        assertEquals(new Set(names).size, names.length);
        assertEquals(new Set(vmids).size, vmids.length);
        for (const slot of slots) {
          assert(
            [...wishes.values()].some((wish) => wish.name === slot.name && wish.vmid === slot.vmid),
            `${slot.name} is wanted`,
          );
        }
        // Nobody waits for what is free, or for somebody who is trusted less.
        const there = [...wishes].filter(([, wish]) =>
          slots.some((slot) => slot.name === wish.name && slot.vmid === wish.vmid)
        );
        for (const [each, wish] of wishes) {
          const inTheWay = there.filter(([, { name, vmid, qmp }]) =>
            name === wish.name || (vmid > 0 && vmid === wish.vmid) || qmp === wish.qmp
          );
          const others = inTheWay.length > 0 || slots.length < 64 ? inTheWay : there;
          assert(
            others.some(([other]) => trustOf(other) >= trustOf(each)),
            `${each} could have ${wish.name}`,
          );
        }
      }
      for (const asker of wishes.keys()) rig.desired.drop(asker);
      assertEquals(rig.roster.names(), []);
      rig.end();
    });
  }
});
