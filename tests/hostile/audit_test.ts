/**
 * The audit trail under fire: no number of refusals keeps power out of the log, and nobody's refusals keep
 * out another's.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { decode } from "cborg";
import { KIND } from "../../src/event/kind.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { attack, linesOf, openFolder } from "./hostile_control.ts";

const UID = 4242;
const CONFIG = `
[[admission]]
uid = ${UID}
endpoints = ["*"]
caps = ["vm", "power", "roster"]
`;

const HOSTILE = `
refusals = 0


def refused():
    """More than are written in a second, at once, whatever the machine has to do besides."""
    c = Control()
    open_ones = {c.send(CMD_INPUT, 0, (3, 30, 1)) for _ in range(25)}
    while open_ones:
        kind, of, words = c.receive()
        assert kind != 0
        if of in open_ones:
            assert kind == ACT_ACK and words[1] == 1, (kind, words)
            open_ones.remove(of)
    return c


for _ in range(20):
    refused().close()
    refusals += 25
c = refused()
refusals += 25
c.acquire(POWER_LEASE)
for _ in range(3):
    kind, words = c.ask(CMD_VM, 0, (RESET,))
    assert kind == ACT_ACK and words[1] == 0, (kind, words)
kind, words = c.ask(CMD_RELEASE, 0, (POWER_LEASE, 0))
assert kind == LEASE_RELEASED
print(refusals)
`;

Deno.test("power is in the log whatever number of refusals comes before it, by however many connections", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1, config: CONFIG });
  openFolder(daemon);
  await using auditor = await daemon.connect("auditor");
  await using stream = auditor.events({ kinds: ["AUDIT"] });
  const entries: Record<string, unknown>[] = [];
  const reading = (async () => {
    for await (const event of stream) entries.push(decode(event.body) as Record<string, unknown>);
  })();
  const refusals = Number(await attack(daemon, UID, HOSTILE));
  const mine = (kind: string) => linesOf(daemon, new RegExp(` audit: ${kind} .*principal=${UID} `));
  await daemon.says(/ audit: LEASE_RELEASED /);
  assertEquals(mine("LEASE_GRANTED").length, 1);
  assertEquals(mine("CMD_VM").length, 3);
  assertEquals(mine("LEASE_RELEASED").length, 1);
  // What was left out is told, though nothing else comes.
  const told = (): number =>
    linesOf(daemon, new RegExp(`principal=${UID} .*entries left out`))
      .reduce((sum, line) => sum + Number(/detail="(\d+) entries/.exec(line)?.[1]), 0);
  // Each connection that was let in is one entry more, and may be left out as well.
  const written = () => mine("CMD_INPUT").length + mine("WELCOME").length;
  await until("each is written or counted", () => written() + told() === refusals + 21);
  assert(mine("CMD_INPUT").length < refusals, "and not all are written");
  // The stream of AUDIT events is limited alike.
  const ofKind = (kind: number) =>
    entries.filter((entry) => entry["principal"] === UID && entry["kind"] === kind);
  await until("the count is told", () => ofKind(KIND.AUDIT).length > 0);
  await until("the last of it has come", () => ofKind(KIND.LEASE_RELEASED).length > 0);
  assertEquals([ofKind(KIND.CMD_VM).length, ofKind(KIND.LEASE_GRANTED).length], [3, 1]);
  assert(ofKind(KIND.CMD_INPUT).length < refusals);
  await stream[Symbol.asyncDispose]();
  await reading;
});

Deno.test("one uid's refused HELLOs do not keep another's out of the log", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1, config: CONFIG });
  openFolder(daemon);
  const hello = (count: number) => `
for _ in range(${count}):
    try:
        c = Control()
        assert c.kind in (0, REFUSED), c.kind
        c.close()
    except OSError:
        pass
`;
  // The second one knocks while the first one's second is not over, or later: it is written either way.
  await attack(daemon, 4343, hello(2000));
  await attack(daemon, 4344, hello(1));
  const of = (uid: number) =>
    linesOf(
      daemon,
      new RegExp(` audit: REFUSED .*principal=${uid} .*not-admitted|not-admitted .*principal=${uid} `),
    );
  await until("the other one is told", () => of(4344).length >= 1);
  assert(of(4343).length < 2000 && of(4343).length > 0);
  await daemon.says(/principal=4343 .*entries left out/);
});
