import { assertEquals } from "@std/assert";
import { fullGrant, type Grant, isSameGrant, maskOf } from "../../../src/access/grant.ts";
import type { ControlId } from "../../../src/base/ids.ts";
import { Regranter } from "../../../src/daemon/regranter.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { ManualLoop } from "../../fixtures/manual_loop.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

/** Controls of users 0, 1, …, a grant each. */
class Members {
  readonly loop = new ManualLoop();
  readonly grants = new Map<ControlId, Grant>();
  readonly users = new Map<ControlId, number>();
  /** What the rules say, by user. */
  readonly rules = new Map<number, Grant>();
  /** Who was given another grant, in order. */
  readonly given: number[] = [];
  readonly regranter = new Regranter({
    loop: this.loop,
    members: () => [...this.users].map(([id, uid]) => ({ id, as: "", peer: { uid, gid: 0, pid: 1 } })),
    grantOf: ({ uid }) => this.rules.get(uid) as Grant,
    present: (id) => this.grants.get(id),
    regrant: (id, grant) => {
      this.given.push(id);
      this.grants.set(id, grant);
    },
  });

  join(number: number, uid: number): void {
    this.users.set(number as ControlId, uid);
    this.grants.set(number as ControlId, this.rules.get(uid) as Grant);
  }

  leave(number: number): void {
    this.users.delete(number as ControlId);
    this.grants.delete(number as ControlId);
  }

  /** Turns until nothing is left to do. */
  rest(): void {
    while (this.loop.timers.size > 0) this.loop.turn();
  }

  /** How many have what the rules say. */
  get settled(): number {
    return [...this.users].filter(([id, uid]) =>
      isSameGrant(this.grants.get(id) as Grant, this.rules.get(uid) as Grant)
    ).length;
  }
}

Deno.test("what is taken away ends for everybody at once, what is given comes a few dozen a turn", () => {
  const members = new Members();
  const full = fullGrant(0);
  members.rules.set(0, full);
  for (let id = 1; id <= 100; id++) members.join(id, 0);
  members.regranter.run();
  assertEquals(members.given, []);
  const less = { ...full, caps: ALL_CAPS & ~CAP.INPUT, endpoints: maskOf([1, 2]), arbPrio: 5 };
  members.rules.set(0, less);
  members.regranter.run();
  assertEquals([members.given.length, members.settled], [100, 100]);
  // One right goes, others come: the first is gone at once, the others wait for their turn.
  const other = { ...full, caps: ALL_CAPS & ~CAP.VM };
  members.rules.set(0, other);
  members.regranter.run();
  assertEquals(members.settled, 32);
  assertEquals([...members.grants.values()].filter(({ caps }) => (caps & CAP.VM) !== 0).length, 0);
  members.loop.turn();
  assertEquals(members.settled, 64);
  // Who has left is passed over; who came in the meantime has the new grant already.
  members.leave(100);
  members.join(101, 0);
  members.rest();
  assertEquals([members.settled, members.users.size], [100, 100]);
  assertEquals(members.given.lastIndexOf(100) < members.given.lastIndexOf(99), true);
});

Deno.test("a change while the one before is still under way: the last one counts; a daemon that stops gives nothing more", () => {
  const members = new Members();
  const none = { ...fullGrant(0), caps: 0, endpoints: maskOf([]) };
  members.rules.set(0, none);
  for (let id = 1; id <= 100; id++) members.join(id, 0);
  members.rules.set(0, fullGrant(0));
  members.regranter.run();
  assertEquals(members.settled, 32);
  members.rules.set(0, none);
  members.regranter.run();
  members.rest();
  assertEquals(members.settled, 100);
  members.rules.set(0, fullGrant(0));
  members.regranter.run();
  members.regranter.stop();
  members.rest();
  assertEquals(members.settled, 32);
});

Deno.test("seeded: nobody ever has more than the rules say, and all have it in the end", () => {
  withSeed((random) => {
    const members = new Members();
    const change = (uid: number) =>
      members.rules.set(uid, {
        ...fullGrant(uid, random.below(3)),
        caps: random.u32() & ALL_CAPS,
        endpoints: { lo: random.u32(), hi: random.u32() },
        sources: random.below(64),
      });
    for (let uid = 0; uid < 3; uid++) change(uid);
    for (let step = 1; step < 400; step++) {
      const choice = random.below(4);
      if (choice === 0) members.join(step, random.below(3));
      else if (choice === 1) members.leave(random.below(step));
      else if (choice === 2) members.loop.turn();
      else {
        change(random.below(3));
        members.regranter.run();
      }
      for (const [id, { caps, sources, endpoints, arbPrio }] of members.grants) {
        const allowed = members.rules.get(members.users.get(id) as number) as Grant;
        assertEquals(
          [caps & ~allowed.caps, sources & ~allowed.sources, arbPrio > allowed.arbPrio],
          [0, 0, false],
        );
        assertEquals(
          [endpoints.lo & ~allowed.endpoints.lo, endpoints.hi & ~allowed.endpoints.hi],
          [0, 0],
        );
      }
    }
    members.rest();
    assertEquals(members.settled, members.users.size);
  });
});
