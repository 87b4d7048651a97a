/**
 * Principals by name, at a real daemon: who may speak for whom, that a name gives what its own rule says and
 * nothing of its speaker's, and that everything that is told of it says the name.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import { DaemonProcess, vmsig } from "../fixtures/daemon_process.ts";
import { attack, linesOf, openFolder } from "./hostile_control.ts";

const SPEAKER = 4242;
const OTHER = 4243;
const RULES = `
[[admission]]
uid = 0
speaks_for = ["token:*"]
[[admission]]
uid = ${SPEAKER}
speaks_for = ["token:alice"]
endpoints = ["stub0", "stub1"]
caps = ["power", "vm", "roster"]
[[admission]]
uid = ${OTHER}
endpoints = ["stub0"]
caps = ["observe", "roster", "input"]
arb_prio = 1
[[admission]]
token = "alice"
endpoints = ["stub0"]
caps = ["observe", "roster", "input"]
arb_prio = 20
[[admission]]
token = "bob"
endpoints = ["stub0"]
caps = ["observe", "roster", "input"]
arb_prio = 10
`;

const SPEAK = `
# As itself it has power, and not input.
c = Control()
assert c.kind == WELCOME, c.kind
kind, words = c.ask(CMD_ACQUIRE, 0, (INPUT_LEASE, 0, 0))
assert kind != LEASE_GRANTED, kind
c.acquire(POWER_LEASE, 1)
c.close()
# For alice it has input on her one VM, and neither power nor the other VM.
c = Control("web", "token:alice")
assert c.kind == WELCOME, c.kind
c.acquire(INPUT_LEASE)
for cls, endpoint in ((POWER_LEASE, 0), (INPUT_LEASE, 1), (POWER_LEASE, 1)):
    kind, words = c.ask(CMD_ACQUIRE, endpoint, (cls, 0, 0))
    assert kind != LEASE_GRANTED, (cls, endpoint)
c.close()
# For nobody else, however it is written.
for name in ("token:bob", "token:nobody", "nats:alice", "token:*", "*", "uid:0", "token:alice ", "alice",
             "token:" + "a" * 65):
    c = Control("web", name)
    assert c.kind == REFUSED, (name, c.kind)
    c.close()
print("done")
`;

const SILENT = `
# A rule that says nothing of it: nobody is spoken for.
for name in ("token:alice", "token:bob"):
    c = Control("web", name)
    assert c.kind == REFUSED, (name, c.kind)
    c.close()
print("done")
`;

Deno.test("a process speaks for whom its user's rule names, and has what the name's rule says", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 2, config: RULES });
  openFolder(daemon);
  assertEquals(await attack(daemon, SPEAKER, SPEAK), "done");
  assertEquals(await attack(daemon, OTHER, SILENT), "done");
  // The log comes by a way of its own: the last that is written says that the rest is there.
  await daemon.says(/ audit: REFUSED .*may not speak for token:bob/);
  const lines = linesOf(daemon, / audit: LEASE_GRANTED /);
  assertEquals(lines.map((line) => / as=(\S+) /.exec(line)?.[1]), [undefined, "token:alice"]);
});

Deno.test("leases, losses and the commands say the name; a rule that is taken away ends it at once", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 2, config: RULES });
  await using root = await daemon.connect("root", {}, "");
  assertEquals(root.grant.capNames.includes("MEMWRITE"), true, "a rule that only speaks takes nothing away");
  await using bob = await daemon.connect("web bob", {}, "token:bob");
  await using alice = await daemon.connect("web alice", {}, "token:alice");
  assertEquals([alice.grant.as, alice.grant.principal, alice.grant.arbPrio], ["token:alice", 0, 20]);
  const mine = await bob.acquire("stub0", "input");
  const at = ["--socket", daemon.socket];
  const status = await vmsig(["lease", "stub0", "input", "status", ...at]);
  assertEquals(status.text, "input: owned by token:bob (uid 0)\n");
  const json = await vmsig(["lease", "stub0", "input", "status", "--json", ...at]);
  assertEquals(JSON.parse(json.text).ownerAs, "token:bob");
  await using hers = await alice.acquire("stub0", "input");
  assertEquals(await mine.lost, "preempted");
  assertEquals(mine.takenBy, { principal: 0, control: alice.grant.control, as: "token:alice" });
  assertStringIncludes((mine.signal.reason as Fault).message, "preempted by token:alice (uid 0)");
  const denied = await assertRejects(() => bob.acquire("stub0", "input"), Fault);
  assertStringIncludes(denied.message, "token:alice (uid 0) owns it, with a higher arb_prio");
  await daemon.says(/ audit: LEASE_REVOKED .*as=token:bob .*detail="pre-empted by token:alice \(uid 0\)"/);
  for (const as of ["token:carol", "nats:bob"]) {
    const fault = await assertRejects(() => daemon.connect("x", {}, as), Fault);
    assertEquals(fault.code, "not-admitted");
    assertStringIncludes(fault.message, as === "token:carol" ? 'token = "carol"' : 'speaks_for = ["nats:*"]');
  }
  const bad = await assertRejects(() => daemon.connect("x", {}, "alice"), Fault);
  assertEquals(bad.code, "bad-argument");
  // Without alice's rule her connection can do nothing more, and what she had is free.
  await daemon.reload(
    `${RULES.slice(0, RULES.indexOf('[[admission]]\ntoken = "alice"'))}\n[discovery]\nprobe = false\n`,
  );
  assertEquals(await hers.lost, "preempted");
  assertEquals(hers.takenBy, undefined);
  const now = await assertRejects(() => alice.acquire("stub0", "input"), Fault);
  assert(now.code === "no-capability" || now.code === "outside-grant", now.code);
});
