/** A client that comes back: a real daemon that is killed and started again. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { Fault } from "../../../src/base/fault.ts";
import { connect, type ConnectOptions } from "../../../src/client/connect.ts";
import type { Client } from "../../../src/client/client.ts";
import type { EventStream } from "../../../src/client/event_stream.ts";
import { DaemonProcess } from "../../fixtures/daemon_process.ts";
import { stopProcess } from "../../fixtures/stopped_process.ts";

const FAST = { firstMs: 10, mostMs: 50 };

/** Runs a test in a folder in which one daemon after another is started. */
async function withFolder(
  body: (start: (config?: string) => Promise<DaemonProcess>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-reconnect-" });
  try {
    await body((config = "") => DaemonProcess.start({ folder, stubs: 2, config }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Reads a stream up to an event of a kind; the names of the kinds before it. */
async function upTo(
  stream: EventStream,
  kind: string,
): Promise<{ before: string[]; event: Record<string, number> }> {
  const before: string[] = [];
  for (;;) {
    const { done, value } = await stream.next();
    if (done) throw new Error(`the stream ended before ${kind}: ${before}`);
    if (value.kindName === kind) return { before, event: { ...value.as(kind as "RECONNECTED") } };
    before.push(value.kindName);
  }
}

function joined(daemon: DaemonProcess, reconnect: NonNullable<ConnectOptions["reconnect"]>): Promise<Client> {
  return connect({
    socket: daemon.socket,
    name: "persistent",
    sub: { sources: ["core", "vmhost"], prioMin: 1, endpoints: [0, 1] },
    reconnect,
  });
}

Deno.test("a daemon that is killed and started again: the streams go on behind a marker, all else is told as lost", async () => {
  const fds = openFdCount();
  await withFolder(async (start) => {
    let daemon = await start();
    const away: string[] = [];
    const client = await joined(daemon, { ...FAST, onAway: (fault) => away.push(fault.code) });
    try {
      const stream = client.events();
      assertEquals((await client.completeRoster()).map(({ name }) => name), ["stub0", "stub1"]);
      const { sources, control } = client.grant;
      const lease = await client.acquire("stub0", "power", { ttlMs: 60_000 });
      // A command that the daemon never gets to answer.
      await stopProcess(daemon.pid);
      const inFlight = assertRejects(() => client.vmState("stub1"), Fault, "may or may not have done it");
      await daemon.crash();
      assertEquals((await inFlight as Fault).code, "unreachable");
      assertEquals([await lease.lost, lease.owned, lease.signal.aborted], ["owner-gone", false, true]);
      await lease.release();
      const refused = await assertRejects(() => client.vmState(0), Fault, "the daemon is away") as Fault;
      assertEquals([refused.code, client.fault, client.roster.list()], ["unreachable", undefined, []]);

      daemon = await start();
      const { before, event } = await upTo(stream, "RECONNECTED");
      assert(before.includes("ROSTER"));
      assert(event["awayNs"]! > 0 && event["attempts"]! > 0 && event["lastSeq"]! > 0);
      assertEquals([client.grant.sources, event["control"], control], [sources, client.grant.control, 1]);
      assertEquals((await client.completeRoster()).map(({ name }) => name), ["stub0", "stub1"]);
      await upTo(stream, "ROSTER");
      assertEquals((await client.vmState("stub1")).state, "running");
      await using again = await client.acquire("stub0", "power");
      assert(again.owned);

      // And once more, with a daemon that says goodbye.
      await daemon.stop();
      assertEquals(await again.lost, "endpoint-gone", "one that says goodbye tells it itself");
      daemon = await start();
      await upTo(stream, "RECONNECTED");
      await client.barrier();
      assertEquals(away, ["unreachable", "unreachable"]);
    } finally {
      await client.close();
      await daemon[Symbol.asyncDispose]();
    }
  });
  assertEquals(openFdCount(), fds, "no descriptor of a former connection is left");
});

Deno.test("closed while the daemon is away: the streams end, and nothing goes on", async () => {
  const fds = openFdCount();
  await withFolder(async (start) => {
    const daemon = await start();
    for (const pace of [FAST, { firstMs: 3_600_000, mostMs: 3_600_000 }]) {
      await using other = pace === FAST ? daemon : await start();
      const away = Promise.withResolvers<Fault>();
      const client = await joined(other, { ...pace, onAway: away.resolve });
      const stream = client.events({ kinds: ["SEAM_DOWN"] });
      const next = stream.next();
      await other.crash();
      await away.promise;
      await client.close();
      assertEquals((await next).done, true);
      assertEquals(client.fault, undefined);
      await assertRejects(() => client.barrier(), Fault, "closed");
    }
  });
  assertEquals(openFdCount(), fds);
});

Deno.test("a daemon that lets this user in no more ends it, with the daemon's words", async () => {
  await withFolder(async (start) => {
    const first = await start();
    await using client = await joined(first, FAST);
    const stream = client.events();
    await first.crash();
    // A rule that leaves this user nothing.
    const rule = `[[admission]]\nuid = ${Deno.uid()}\nendpoints = ["another"]\ncaps = ["*"]\n`;
    await using _second = await start(rule);
    const fault = await assertRejects(() => upTo(stream, "RECONNECTED"), Fault) as Fault;
    assertEquals([fault.code, client.fault?.code], ["not-admitted", "not-admitted"]);
  });
});

Deno.test("off by default: the end of the daemon ends the client", async () => {
  await withFolder(async (start) => {
    const daemon = await start();
    await using client = await joined(daemon, false);
    const lease = await client.acquire("stub0", "power");
    const stream = client.events();
    await daemon.crash();
    const fault = await assertRejects(() => upTo(stream, "RECONNECTED"), Fault) as Fault;
    assertEquals([fault.code, client.fault?.code, await lease.lost], [
      "unreachable",
      "unreachable",
      "disconnected",
    ]);
  });
  const bad = await assertRejects(() => connect({ name: "x", reconnect: { firstMs: 0 } }), Fault) as Fault;
  assertEquals(bad.code, "bad-argument");
});
