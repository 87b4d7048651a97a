import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { NO_CONTROL } from "../../../src/base/ids.ts";
import { readS64, readU64 } from "../../../src/base/layout.ts";
import type { Client } from "../../../src/client/client.ts";
import type { ClientEvent } from "../../../src/client/client_event.ts";
import { connect } from "../../../src/client/connect.ts";
import { KIND } from "../../../src/event/kind.ts";
import { FakeDaemon, type Peer, type Script } from "./fake_daemon.ts";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function granting(more: (command: ClientEvent, peer: Peer) => void = () => {}): Script {
  return {
    endpoints: ["alpha"],
    onCommand(command, peer) {
      const cls = command.view.getUint32(0, true);
      const ttl = command.view.getUint32(8, true);
      if (command.kind === KIND.CMD_ACQUIRE) peer.reply(command, KIND.LEASE_GRANTED, [cls, 0, 9, 0, ttl]);
      else if (command.kind === KIND.CMD_RELEASE) peer.reply(command, KIND.LEASE_RELEASED, [cls]);
      else if (command.kind === KIND.CMD_LEASE_STATUS) peer.reply(command, KIND.LEASE_STATUS, [cls, 1, 1000]);
      more(command, peer);
    },
  };
}

async function withClient(
  script: Script,
  body: (client: Client, peer: Peer) => Promise<void>,
): Promise<Peer> {
  await using daemon = new FakeDaemon(script);
  {
    await using client = await connect({ socket: daemon.path, name: "tester" });
    await body(client, daemon.peer);
  }
  return daemon.peer;
}

function sent(peer: Peer, kind: number): ClientEvent[] {
  return peer.commands.filter((command) => command.kind === kind);
}

async function faultOf(promise: Promise<unknown>): Promise<Fault> {
  return await assertRejects(() => promise, Fault) as Fault;
}

Deno.test("a lease of a daemon that is gone is gone, also before we have read that", async () => {
  await using daemon = new FakeDaemon(granting());
  const client = await connect({ socket: daemon.path, name: "tester" });
  const [first, second] = [await client.acquire("alpha", "power"), await client.acquire("alpha", "input")];
  daemon.drop(daemon.peer);
  // In the same turn: the client cannot know yet.
  const released = first.release();
  const closed = client.close();
  await Promise.all([released, closed]);
  assertEquals([first.owned, second.owned], [false, false]);
});

Deno.test("a lease releases itself, under its token", async () => {
  await withClient(granting(), async (client, peer) => {
    {
      await using lease = await client.acquire("alpha", "power");
      assertEquals([lease.endpoint, lease.className, lease.token, lease.ttlMs, lease.owned], [
        0,
        "power",
        9,
        0,
        true,
      ]);
      assertEquals(sent(peer, KIND.CMD_RELEASE).length, 0);
    }
    const [release] = sent(peer, KIND.CMD_RELEASE);
    assertEquals(release?.view.getUint32(0, true), 1);
    assertEquals(readU64(new DataView((release as ClientEvent).frame.buffer), 40), 9);
  });
});

Deno.test("closing the client releases what is held", async () => {
  const peer = await withClient(granting(), async (client) => {
    await client.acquire("alpha", "input");
    await client.acquire("alpha", "memwrite");
  });
  assertEquals(sent(peer, KIND.CMD_RELEASE).map((command) => command.view.getUint32(0, true)), [0, 2]);
});

Deno.test("two handles are one lease: the last one releases it", async () => {
  await withClient(granting(), async (client, peer) => {
    const one = await client.acquire("alpha", "input");
    const two = await client.acquire("alpha", "input");
    await one.release();
    await one.release();
    assertEquals([one.owned, two.owned, sent(peer, KIND.CMD_RELEASE).length], [false, true, 0]);
    await two.release();
    assertEquals(sent(peer, KIND.CMD_RELEASE).length, 1);
  });
});

Deno.test("a lost lease says why, and is not released", async () => {
  for (const [reason, word] of ["preempted", "owner-gone", "endpoint-gone", "not-kept-alive"].entries()) {
    const peer = await withClient(granting(), async (client, peer) => {
      await using lease = await client.acquire("alpha", "input");
      await using other = await client.acquire("alpha", "power");
      const stream = client.events({ kinds: ["LEASE_REVOKED"] });
      peer.send(KIND.LEASE_REVOKED, (event) => {
        event.words[0] = 0;
        event.words[1] = reason;
      });
      assertEquals(await lease.lost, word);
      assertEquals([lease.owned, lease.signal.aborted, other.owned], [false, true, true]);
      assert(lease.signal.reason instanceof Fault && lease.signal.reason.code === "stale-lease");
      assertEquals((await stream.next()).value.as("LEASE_REVOKED")?.reason, reason);
    });
    assertEquals(sent(peer, KIND.CMD_RELEASE).map((command) => command.view.getUint32(0, true)), [1]);
  }
});

Deno.test("a lease that is revoked in the same breath as it is granted is lost", async () => {
  const script = granting((command, peer) => {
    if (command.kind === KIND.CMD_ACQUIRE) peer.send(KIND.LEASE_REVOKED);
  });
  await withClient(script, async (client) => {
    const lease = await client.acquire("alpha", "input");
    assertEquals([lease.owned, await lease.lost], [false, "preempted"]);
    // The next grant is another matter.
    assertEquals((await client.acquire("alpha", "power")).owned, true);
  });
});

Deno.test("a lease with a ttl is kept alive until it is released", async () => {
  await withClient(granting(), async (client, peer) => {
    const lease = await client.acquire("alpha", "input", { ttlMs: 60 });
    assertEquals(lease.ttlMs, 60);
    while (sent(peer, KIND.CMD_LEASE_STATUS).length < 3) await pause(5);
    await lease.release();
    const kept = sent(peer, KIND.CMD_LEASE_STATUS).length;
    await pause(80);
    assertEquals(sent(peer, KIND.CMD_LEASE_STATUS).length, kept);
  });
});

Deno.test("each denial has its code", async () => {
  const codes = ["busy", "no-capability", "outside-grant", "bad-argument", "busy"];
  for (const [reason, code] of codes.entries()) {
    const script: Script = {
      endpoints: ["alpha"],
      onCommand: (command, peer) => peer.reply(command, KIND.LEASE_DENIED, [0, reason]),
    };
    await withClient(script, async (client) => {
      const fault = await faultOf(client.acquire("alpha", "input"));
      assertEquals(fault.code, code);
      assertStringIncludes(fault.message, "Cannot acquire input of alpha");
    });
  }
});

Deno.test("a lease that is granted after its acquire was given up goes back", async () => {
  const late: ClientEvent[] = [];
  const script: Script = {
    endpoints: ["alpha"],
    onCommand: (command) => {
      if (command.kind === KIND.CMD_ACQUIRE) late.push(command);
    },
  };
  await withClient(script, async (client, peer) => {
    await client.next({ kinds: ["ROSTER"] });
    assertEquals((await faultOf(client.acquire(0, "input", { timeoutMs: 20 }))).code, "timed-out");
    peer.reply(late[0] as ClientEvent, KIND.LEASE_GRANTED, [0, 0, 33, 0, 0]);
    while (sent(peer, KIND.CMD_RELEASE).length === 0) await pause(1);
    const release = sent(peer, KIND.CMD_RELEASE)[0] as ClientEvent;
    assertEquals(readU64(new DataView(release.frame.buffer), 40), 33);
    assertEquals(release.corr, 0, "nobody awaits the answer");
  });
});

Deno.test("who holds a lease is told", async () => {
  await withClient(granting(), async (client) => {
    assertEquals(await client.leaseStatus("alpha", "memwrite"), {
      busy: true,
      ownerPrincipal: 1000,
      owner: { principal: 1000, control: NO_CONTROL, as: "" },
    });
  });
});

Deno.test("memory writes travel inline while they fit, else as the body", async () => {
  await withClient(
    granting((command, peer) => {
      if (command.kind === KIND.CMD_MEMWRITE) peer.ack(command);
    }),
    async (client, peer) => {
      const bytes = (n: number) => Uint8Array.from({ length: n }, (_, i) => i + 1);
      const gva = -0x777ffffff000;
      await client.writeMemory("alpha", gva, bytes(32));
      await client.writeMemory("alpha", 0x7f0000001000, bytes(24), { cr3: 0x1aa000 });
      await client.writeMemory("alpha", gva, bytes(25), { cr3: 0x1aa000, seqlock: true });
      await client.writeMemory("alpha", gva, bytes(4096));
      assertEquals((await faultOf(client.writeMemory("alpha", gva, bytes(4097)))).code, "too-large");
      assertEquals((await faultOf(client.writeMemory("alpha", gva, bytes(0)))).code, "bad-argument");
      const [one, two, three, four] = sent(peer, KIND.CMD_MEMWRITE) as [
        ClientEvent,
        ClientEvent,
        ClientEvent,
        ClientEvent,
      ];
      assertEquals(readS64(one.view, 0), gva);
      assertEquals([one.view.getUint32(8, true), one.view.getUint32(12, true), one.body.length], [
        32,
        0x1,
        0,
      ]);
      assertEquals(one.inline.subarray(16), bytes(32));
      assertEquals([readU64(two.view, 0), two.view.getUint32(12, true)], [0x7f0000001000, 0x5]);
      assertEquals([readU64(two.view, 16), two.inline.subarray(24)], [0x1aa000, bytes(24)]);
      assertEquals([three.view.getUint32(12, true), three.bodyFormat], [0x2 | 0x4 | 0x8, 1]);
      assertEquals([readU64(three.view, 16), three.body.slice()], [0x1aa000, bytes(25)]);
      assertEquals([four.view.getUint32(8, true), four.view.getUint32(12, true), four.body.length], [
        4096,
        0x2,
        4096,
      ]);
      assertEquals(sent(peer, KIND.CMD_MEMWRITE).length, 4);
    },
  );
});
