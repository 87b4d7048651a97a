import { ALL_SOURCES } from "../../../src/event/source.ts";
import { assert, assertEquals } from "@std/assert";
import { Admission, type AdmissionRule, type AdmissionSubject } from "../../../src/access/admission.ts";
import { ALL_ENDPOINTS, maskOf, NO_ENDPOINTS } from "../../../src/access/grant.ts";
import { UserDatabase } from "../../../src/access/user_database.ts";
import { ManualClock, SECOND } from "../../../src/base/clock.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";

const PASSWD = `root:x:0:0:root:/root:/bin/sh
# a comment
ann:x:1000:1000::/home/ann:/bin/sh
bob:x:1001:100::/home/bob:/bin/sh
ann2:x:1000:1000::/home/ann:/bin/sh
broken:x:abc:1::/:
ann:x:4242:1::/:
toobig:x:4294967295:1::/:
`;
const GROUP = `root:x:0:
users:x:100:
ops:x:200:ann,carl
empty:x:300:
broken
`;

function database(passwd = PASSWD, group = GROUP): UserDatabase {
  return new UserDatabase((path) => path === "/etc/passwd" ? passwd : group, new ManualClock());
}

function rule(subject: AdmissionSubject, more: Partial<AdmissionRule> = {}): AdmissionRule {
  return { subject, endpoints: "all", sources: 511, caps: CAP.OBSERVE, arbPrio: 10, ...more };
}

const noSlots = () => NO_ENDPOINTS;

Deno.test("without rules the daemon's own uid has everything, and nobody else is let in", () => {
  const admission = new Admission([], 1000, database(), noSlots);
  assertEquals(admission.grant({ uid: 1000, gid: 1000 }), {
    principal: 1000,
    endpoints: ALL_ENDPOINTS,
    sources: ALL_SOURCES,
    caps: ALL_CAPS,
    arbPrio: 10,
  });
  assertEquals(admission.grant({ uid: 0, gid: 0 }), undefined);
  assertEquals(admission.grant({ uid: 1001, gid: 1000 }), undefined);
  assertEquals(admission.admitsOthers, false);
});

Deno.test("the first rule that matches decides, also for the own uid", () => {
  const rules = [
    rule({ kind: "user", name: "ann" }, { caps: CAP.VM }),
    rule({ kind: "group", name: "ops" }, { caps: CAP.INPUT, arbPrio: 20 }),
    rule({ kind: "uid", uid: 1001 }, { caps: CAP.POWER }),
  ];
  const admission = new Admission(rules, 1000, database(), noSlots);
  assertEquals(admission.grant({ uid: 1000, gid: 1000 })?.caps, CAP.VM);
  assertEquals(admission.grant({ uid: 1001, gid: 100 })?.caps, CAP.POWER);
  assertEquals(admission.grant({ uid: 1001, gid: 200 })?.caps, CAP.INPUT);
  assertEquals(admission.grant({ uid: 5, gid: 5 }), undefined);
  const others = new Admission(rules.slice(1), 1001, database(), noSlots);
  assertEquals(others.grant({ uid: 1000, gid: 1000 })?.caps, CAP.INPUT, "listed in the group");
  assertEquals(others.grant({ uid: 1000, gid: 1000 })?.arbPrio, 20);
});

Deno.test("groups: by the peer's own gid, the primary group, the group's list", () => {
  const byGid = new Admission([rule({ kind: "gid", gid: 100 })], 0, database(), noSlots);
  assert(byGid.grant({ uid: 77, gid: 100 }) !== undefined);
  assert(byGid.grant({ uid: 1001, gid: 1 }) !== undefined, "bob's primary group");
  assertEquals(byGid.grant({ uid: 1000, gid: 1000 }), undefined);
  const gone = new Admission([rule({ kind: "group", name: "nobody-has-it" })], 0, database(), noSlots);
  assertEquals(gone.grant({ uid: 1000, gid: 1000 }), undefined);
});

Deno.test("an unknown user matches nobody", () => {
  const admission = new Admission([rule({ kind: "user", name: "zoe" })], 0, database(), noSlots);
  for (const uid of [1000, 1001, 4294967295]) assertEquals(admission.grant({ uid, gid: 1 }), undefined);
});

Deno.test("a name's number is looked up anew each time", () => {
  const slots = new Map([["web", 3]]);
  const admission = new Admission(
    [rule({ kind: "uid", uid: 5 }, { endpoints: ["web", "db"] })],
    0,
    database(),
    (names) => maskOf(names.flatMap((name) => slots.has(name) ? [slots.get(name) as number] : [])),
  );
  assertEquals(admission.grant({ uid: 5, gid: 5 })?.endpoints, maskOf([3]));
  slots.set("db", 63);
  assertEquals(admission.grant({ uid: 5, gid: 5 })?.endpoints, maskOf([3, 63]));
  slots.delete("web");
  assertEquals(admission.grant({ uid: 5, gid: 5 })?.endpoints, maskOf([63]));
});

Deno.test("rules can be replaced, and who may come is told", () => {
  const admission = new Admission([rule({ kind: "uid", uid: 5 })], 5, database(), noSlots);
  assertEquals(admission.admitsOthers, false);
  admission.replace([rule({ kind: "user", name: "ann" })]);
  assertEquals(admission.admitsOthers, true);
  assertEquals(admission.grant({ uid: 1000, gid: 1 })?.caps, CAP.OBSERVE);
  admission.replace([rule({ kind: "group", name: "ops" })]);
  assertEquals(admission.admitsOthers, true);
});

Deno.test("a name has what its own rule says, when the user may speak for it", () => {
  const rules = [
    rule({ kind: "principal", name: "token:alice" }, { caps: CAP.INPUT, endpoints: ["web"], arbPrio: 3 }),
    rule({ kind: "user", name: "ann" }, { caps: CAP.POWER, speaksFor: ["token:*"] }),
    rule({ kind: "uid", uid: 1001 }, { caps: CAP.POWER, speaksFor: ["nats:bob"] }),
  ];
  const admission = new Admission(rules, 1000, database(), () => maskOf([3]));
  const ann = { uid: 1000, gid: 1000 };
  assertEquals(admission.grantAs(ann, "token:alice"), {
    principal: 1000,
    endpoints: maskOf([3]),
    sources: 511,
    caps: CAP.INPUT,
    arbPrio: 3,
    as: "token:alice",
  });
  assertEquals(admission.grant(ann)?.caps, CAP.POWER, "its own right is another matter");
  assertEquals(admission.grantAs(ann, "token:bob"), "no-rule");
  assertEquals(admission.grantAs(ann, "nats:alice"), "may-not-speak");
  const bob = { uid: 1001, gid: 100 };
  assertEquals(admission.grantAs(bob, "token:alice"), "may-not-speak");
  assertEquals(admission.grantAs(bob, "nats:bob"), "no-rule");
  assertEquals(admission.grantAs({ uid: 7, gid: 7 }, "token:alice"), "may-not-speak");
  // Nobody is let in by the name of a rule without saying so, not even the daemon's own user.
  const plain = new Admission(rules.slice(0, 1), 1000, database(), noSlots);
  assertEquals(plain.grantAs(ann, "token:alice"), "may-not-speak");
  assertEquals(plain.grant(bob), undefined);
  assertEquals(plain.admitsOthers, false);
});

Deno.test("a rule that says only for whom a user speaks leaves the rest to the others", () => {
  const only = rule({ kind: "uid", uid: 1000 }, {
    caps: 0,
    endpoints: [],
    speaksFor: ["token:*"],
    onlySpeaks: true,
  });
  const alice = rule({ kind: "principal", name: "token:alice" });
  const own = new Admission([only, alice], 1000, database(), noSlots);
  const ann = { uid: 1000, gid: 1000 };
  assertEquals(own.grant(ann)?.caps, ALL_CAPS, "the daemon's own user keeps what it has");
  assertEquals(typeof own.grantAs(ann, "token:alice"), "object");
  const other = new Admission([only, alice], 0, database(), noSlots);
  assertEquals(other.grant(ann), undefined);
  assertEquals(other.admits(ann), true, "it may say its HELLO");
  assertEquals(other.admitsOthers, true);
  assertEquals(other.admits({ uid: 1001, gid: 100 }), false);
  const second = new Admission(
    [only, rule({ kind: "uid", uid: 1000 }, { caps: CAP.VM }), alice],
    0,
    database(),
    noSlots,
  );
  assertEquals(second.grant(ann)?.caps, CAP.VM);
});

Deno.test("while the tables of users cannot be read nobody speaks for others by a rule that needs them", () => {
  const users = { uidOf: () => 1000, gidOf: () => 1, isMember: () => true, isKnown: false };
  const alice = rule({ kind: "principal", name: "token:alice" });
  const byName = rule({ kind: "user", name: "ann" }, { speaksFor: ["token:bob"], onlySpeaks: true, caps: 0 });
  const byUid = rule({ kind: "uid", uid: 1000 }, { speaksFor: ["token:*"], onlySpeaks: true, caps: 0 });
  const ann = { uid: 1000, gid: 1000 };
  const behind = new Admission([byName, byUid, alice], 0, users, noSlots);
  assertEquals(behind.grantAs(ann, "token:alice"), "may-not-speak");
  const before = new Admission([byUid, byName, alice], 0, users, noSlots);
  assertEquals(typeof before.grantAs(ann, "token:alice"), "object");
});

Deno.test("the user database is read again after a second, and bad lines are passed over", () => {
  let passwd = PASSWD;
  let reads = 0;
  const clock = new ManualClock();
  const users = new UserDatabase((path) => {
    reads++;
    return path === "/etc/passwd" ? passwd : GROUP;
  }, clock);
  assertEquals(users.uidOf("ann"), 1000, "the first entry counts");
  assertEquals(users.uidOf("broken"), undefined);
  assertEquals(users.uidOf("toobig"), undefined);
  assertEquals(users.gidOf("ops"), 200);
  assertEquals(users.isMember(1000, 200), true);
  assertEquals(users.isMember(1001, 200), false);
  passwd += "zoe:x:7:7::/:\n";
  assertEquals(users.uidOf("zoe"), undefined);
  assertEquals(reads, 2);
  clock.advance(SECOND);
  assertEquals(users.uidOf("zoe"), 7);
  assertEquals(reads, 4);
});
