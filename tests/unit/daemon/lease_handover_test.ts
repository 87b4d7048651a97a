/**
 * The handover at a real daemon: a person takes keyboard and mouse from an automation, which is told by whom
 * and why, waits, is shown waiting, and gets them back; by the client library and by the command.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { leasePartiesOf } from "../../../src/client/lease_parties.ts";
import { eventWords } from "../../../src/client/event_words.ts";
import { DaemonProcess, until, vmsig } from "../../fixtures/daemon_process.ts";

const NAMES = (["alice", "robot", "spare"] as const).map((name, i) => `
[[admission]]
token = "${name}"
endpoints = ["*"]
caps = ["observe", "roster", "input"]
arb_prio = ${[20, 1, 1][i]}
`).join("");
const CONFIG = `[[admission]]\nuid = 0\nspeaks_for = ["token:*"]\n${NAMES}`;

Deno.test("an automation is told who took the lease and why, waits, and gets it back", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1, config: CONFIG });
  await using alice = await daemon.connect("web alice", {}, "token:alice");
  await using robot = await daemon.connect("nightly", {}, "token:robot");
  await using spare = await daemon.connect("spare", { sources: ["CORE"] }, "token:spare");
  await using news = spare.events({ kinds: ["LEASE_WHO"] });
  const first = await robot.acquire("stub0", "input", { message: "tests" });
  const early = await assertRejects(() => first.untilGivenBack(), Fault);
  assertEquals(early.code, "refused");
  const hers = await alice.acquire("stub0", "input", { message: "a look around", ttlMs: 360_000 });
  assertEquals(await first.lost, "preempted");
  assertEquals(first.takenBy?.as, "token:alice");
  const back = first.untilGivenBack({ message: "tests go on" });
  await until(
    "it is shown waiting",
    async () => (await alice.leaseParties("stub0", "input")).waiting.length > 0,
  );
  const { owner, waiting } = await spare.leaseParties("stub0", "input");
  assertEquals([owner?.as, owner?.name, owner?.message], ["token:alice", "web alice", "a look around"]);
  assertEquals(waiting.map(({ as, message }) => [as, message]), [["token:robot", "tests go on"]]);
  const status = await vmsig(["lease", "stub0", "input", "status", "--socket", daemon.socket]);
  assertEquals(
    status.text,
    'input: owned by token:alice (uid 0): "a look around"\n  waits: token:robot (uid 0): "tests go on"\n',
  );
  for await (const event of news) {
    const parties = leasePartiesOf(event);
    if (parties?.waiting.length !== 1) continue;
    assertEquals(
      eventWords(event),
      'input owned by token:alice (uid 0): "a look around"; token:robot (uid 0): "tests go on" waits',
    );
    break;
  }
  // Another one waits, and thinks better of it: it is not shown any more, and gets nothing later.
  const giving = new AbortController();
  const given = spare.acquire("stub0", "input", { wait: true, signal: giving.signal });
  await until("two wait", async () => (await alice.leaseParties("stub0", "input")).waiting.length === 2);
  giving.abort();
  assertEquals((await assertRejects(() => given, Fault)).code, "interrupted");
  await until("one waits", async () => (await alice.leaseParties("stub0", "input")).waiting.length === 1);
  const late = await assertRejects(
    () => spare.acquire("stub0", "input", { wait: true, timeoutMs: 50 }),
    Fault,
  );
  assertEquals(late.code, "timed-out");
  await until("one waits", async () => (await alice.leaseParties("stub0", "input")).waiting.length === 1);
  await hers.release();
  await using again = await back;
  assert(again.owned && again.token > first.token);
  assertEquals((await spare.leaseParties("stub0", "input")).owner?.message, "tests go on");
  const long = await assertRejects(
    () => spare.acquire("stub0", "input", { message: "é".repeat(101) }),
    Fault,
  );
  assertEquals(long.code, "bad-argument");
});

Deno.test("an owner that is gone hands over to who waits; a daemon that goes tells who waits", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1, config: CONFIG });
  const alice = await daemon.connect("web alice", {}, "token:alice");
  await using robot = await daemon.connect("nightly", {}, "token:robot");
  await using spare = await daemon.connect("spare", {}, "token:spare");
  await alice.acquire("stub0", "input");
  const waits = robot.acquire("stub0", "input", { wait: true });
  await until("it waits", async () => (await spare.leaseParties("stub0", "input")).waiting.length === 1);
  await alice.close();
  const lease = await waits;
  assert(lease.owned);
  const never = spare.acquire("stub0", "input", { wait: true });
  await until("it waits", async () => (await robot.leaseParties("stub0", "input")).waiting.length === 1);
  const told = assertRejects(() => never, Fault);
  daemon.kill("SIGTERM");
  const fault = await told;
  assert(["unreachable", "no-endpoint", "shutting-down"].includes(fault.code), fault.code);
});

Deno.test("lease hold --wait is told who has it, waits, and waits again when it is taken away", async () => {
  await using daemon = await DaemonProcess.start({
    stubs: 1,
    config: `${CONFIG}\n[[admission]]\nuid = 0
endpoints = ["*"]\ncaps = ["*"]\narb_prio = 5\n`,
  });
  await using alice = await daemon.connect("web alice", {}, "token:alice");
  const hers = await alice.acquire("stub0", "input");
  const waiting = vmsig([
    ...["lease", "stub0", "input", "hold", "--wait", "--message", "a run", "--socket", daemon.socket],
    ...["--json", "--", "sh", "-c", "echo run; exit 3"],
  ]);
  await until("it waits", async () => (await alice.leaseParties("stub0", "input")).waiting.length === 1);
  assertEquals((await alice.leaseParties("stub0", "input")).waiting[0]?.message, "a run");
  await hers.release();
  const { code, text, errors } = await waiting;
  assertEquals(code, 3);
  assertStringIncludes(text, "run\n");
  assertStringIncludes(errors, "token:alice (uid 0) owns input");

  const root = new URL("../../../", import.meta.url).pathname;
  await using holder = new Deno.Command(Deno.execPath(), {
    args: [
      ...[
        "run",
        "-A",
        "--no-check",
        "--config",
        `${root}deno.json`,
        `${root}main.ts`,
        "lease",
        "stub0",
        "input",
      ],
      ...["hold", "--wait", "--socket", daemon.socket],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const [said, problems] = [collected(holder.stdout), collected(holder.stderr)];
  const ownerIs = (control: number | undefined) => async () =>
    (await alice.leaseParties("stub0", "input")).owner?.control === control;
  await until("it has it", async () => (await alice.leaseParties("stub0", "input")).owner !== undefined);
  const second = await alice.acquire("stub0", "input");
  assert(await ownerIs(alice.grant.control)());
  await until("it waits", async () => (await alice.leaseParties("stub0", "input")).waiting.length === 1);
  await second.release();
  await until("it has it again", async () => {
    const { owner } = await alice.leaseParties("stub0", "input");
    return owner !== undefined && owner.control !== alice.grant.control;
  });
  // The daemon's answer has to reach the command before the signal does.
  const owned = () => said.text.match(/input is owned/g)?.length;
  await until("it has told it twice", () => owned() === 2);
  holder.kill("SIGINT");
  const { code: ended } = await holder.status;
  await Promise.all([said.ended, problems.ended]);
  assertEquals(owned(), 2);
  assertStringIncludes(
    problems.text,
    "taken away (preempted by token:alice (uid 0)); waiting until",
  );
  assertEquals(ended, 130);
  await until("it is free", ownerIs(undefined));
});

Deno.test("lease hold: a daemon that has died took no lease away, and cannot be reached", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  await using client = await daemon.connect("looks", { sources: ["CORE"] });
  const hold = (cls: string, ...more: string[]) =>
    vmsig(["lease", "stub0", cls, "hold", "--socket", daemon.socket, ...more]);
  const held = [hold("input"), hold("power", "--wait"), hold("memwrite", "--", "sleep", "1000")];
  for (const cls of ["input", "power", "memwrite"] as const) {
    await until(`${cls} is held`, async () => (await client.leaseParties("stub0", cls)).owner !== undefined);
  }
  daemon.kill("SIGKILL");
  for (const { code, errors } of await Promise.all(held)) {
    assertEquals(code, 4, errors);
    assertStringIncludes(errors, "the daemon closed the connection");
  }
});

/** What a stream has brought so far. */
function collected(stream: ReadableStream<Uint8Array>): { text: string; ended: Promise<void> } {
  const so = { text: "", ended: Promise.resolve() };
  so.ended = (async () => {
    const decoder = new TextDecoder();
    for await (const bytes of stream) so.text += decoder.decode(bytes, { stream: true });
  })();
  return so;
}
