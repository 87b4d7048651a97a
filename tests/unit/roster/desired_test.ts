import { assert, assertEquals } from "@std/assert";
import { Log } from "../../../src/base/log.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { Desired } from "../../../src/roster/desired.ts";
import { Roster } from "../../../src/roster/roster.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";
import { CoreRig } from "../core/core_rig.ts";
import { FakeAdapter } from "../core/fake_adapter.ts";

interface Wanted {
  readonly name: string;
  readonly vmid: number;
  readonly version?: number;
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

Deno.test("seeded: whatever askers want and drop, a name or number has one owner, and whoever can be there is", () => {
  for (let run = 0; run < 20; run++) {
    withSeed((random) => {
      const rig = new Rig();
      const wishes = new Map<string, Wanted>();
      for (let step = 0; step < 300; step++) {
        const asker = `asker${random.below(90)}`;
        if (random.oneIn(3)) {
          rig.desired.drop(asker);
          wishes.delete(asker);
        } else {
          const wish = { name: `vm${random.below(80)}`, vmid: random.below(40), version: random.below(2) };
          rig.desired.want(asker, wish);
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
        // Nobody waits for what is free.
        if (slots.length < 64) {
          for (const wish of wishes.values()) {
            assert(names.includes(wish.name) || vmids.includes(wish.vmid), `${wish.name} could be there`);
          }
        }
      }
      for (const asker of wishes.keys()) rig.desired.drop(asker);
      assertEquals(rig.roster.names(), []);
      rig.end();
    });
  }
});
