import { assert, assertEquals } from "@std/assert";
import { Admission, type AdmissionRule, type UserLookup } from "../../../src/access/admission.ts";
import { ALL_ENDPOINTS } from "../../../src/access/grant.ts";
import { UserDatabase } from "../../../src/access/user_database.ts";
import { ManualClock, SECOND } from "../../../src/base/clock.ts";
import { Log } from "../../../src/base/log.ts";

const PASSWD = "root:x:0:0::/:/bin/sh\nanna:x:1001:1001::/:/bin/sh\nguest:x:1002:1002::/:/bin/sh\n";
const GROUP = "root:x:0:\noperators:x:50:anna,guest\n";
const OWN = 999;

class Files {
  readonly clock = new ManualClock();
  readonly lines: string[] = [];
  passwd = PASSWD;
  group = GROUP;
  fails: Error | null = null;
  reads = 0;
  readonly users = new UserDatabase(
    (path) => {
      this.reads++;
      if (this.fails !== null) throw this.fails;
      return path === "/etc/passwd" ? this.passwd : this.group;
    },
    this.clock,
    new Log("users", "info", (line) => this.lines.push(line)),
  );

  later(): void {
    this.clock.advance(SECOND);
  }
}

const rule = (subject: AdmissionRule["subject"], caps: number): AdmissionRule => ({
  subject,
  endpoints: "all",
  sources: 1,
  caps,
  arbPrio: 1,
});

function admission(users: UserLookup, rules: AdmissionRule[]): Admission {
  return new Admission(rules, OWN, users, () => ALL_ENDPOINTS);
}

Deno.test("a read that fails leaves the tables as they were, and is told once", () => {
  const files = new Files();
  assertEquals(files.users.uidOf("anna"), 1001);
  files.fails = new Error("Too many open files (os error 24)");
  for (let i = 0; i < 5; i++) {
    files.later();
    assertEquals(files.users.uidOf("anna"), 1001);
    assert(files.users.isMember(1001, 50));
    assert(files.users.isKnown);
  }
  assertEquals(files.lines.filter((line) => line.startsWith("error")).length, 1, files.lines.join("\n"));
  files.fails = null;
  files.passwd += "new:x:1003:1003::/:/bin/sh\n";
  files.later();
  assertEquals(files.users.uidOf("new"), 1003);
  assert(files.lines.at(-1)?.includes("can be read again"));
});

Deno.test("a text that is cut off is a failed read, and one that became shorter is believed when it stays so", () => {
  const files = new Files();
  const before = files.users.generation;
  files.passwd = PASSWD.slice(0, 30);
  files.later();
  assertEquals(files.users.uidOf("guest"), 1002, "cut within a line");
  files.passwd = "";
  files.later();
  assertEquals(files.users.uidOf("guest"), 1002, "an empty one, once");
  files.passwd = PASSWD;
  files.later();
  assertEquals([files.users.uidOf("guest"), files.users.generation], [1002, before], "it was being written");
  files.passwd = PASSWD.split("\n").slice(0, 2).join("\n") + "\n";
  files.later();
  assertEquals(files.users.uidOf("guest"), 1002);
  files.later();
  assertEquals(files.users.uidOf("guest"), undefined, "a user that was removed is gone at the second look");
  assertEquals(files.users.uidOf("anna"), 1001);
});

Deno.test("while nothing is known no rule behind one by name lets anybody in", () => {
  const files = new Files();
  files.fails = new Error("permission denied");
  const rules = [
    rule({ kind: "uid", uid: 7 }, 1),
    rule({ kind: "user", name: "guest" }, 1),
    rule({ kind: "gid", gid: 50 }, 255),
  ];
  const some = admission(files.users, rules);
  assertEquals(some.grant({ uid: 7, gid: 7 })?.caps, 1, "a rule by number in front of them");
  assertEquals(
    some.grant({ uid: 1002, gid: 50 }),
    undefined,
    "the guest does not get what is behind its rule",
  );
  assertEquals(some.grant({ uid: 1001, gid: 50 }), undefined);
  assert(!some.admits({ uid: 1001, gid: 50 }));
  assert(some.grant({ uid: OWN, gid: 0 }) !== undefined, "the daemon's own user");
  assertEquals(files.lines.filter((line) => line.startsWith("error")).length, 1);
  files.fails = null;
  files.later();
  assertEquals(some.grant({ uid: 1002, gid: 50 })?.caps, 1);
  assertEquals(some.grant({ uid: 1001, gid: 50 })?.caps, 255);
});

Deno.test("which rule a user gets is remembered until the tables or the rules change", () => {
  const files = new Files();
  const by = admission(files.users, [rule({ kind: "group", name: "operators" }, 3)]);
  assert(by.admits({ uid: 1001, gid: 1001 }));
  assert(!by.admits({ uid: 1003, gid: 1003 }));
  const reads = files.reads;
  for (let uid = 0; uid < 5000; uid++) by.admits({ uid, gid: uid % 50 });
  assertEquals(files.reads, reads, "no file is read for it");
  files.passwd += "new:x:1003:1003::/:/bin/sh\n";
  files.group = GROUP.replace("guest", "guest,new");
  files.later();
  assert(by.admits({ uid: 1003, gid: 1003 }), "a user who was added to the group needs no reload");
  by.replace([]);
  assert(!by.admits({ uid: 1003, gid: 1003 }));
});
