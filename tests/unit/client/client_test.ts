import type { EndpointId } from "../../../src/base/ids.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { createMemfd } from "../../../ffi/memfd.ts";
import { CODE } from "../../../src/base/codes.ts";
import { Fault } from "../../../src/base/fault.ts";
import { CLIENT_BUFFER_EVENTS, CLIENT_BUFFER_MAX_EVENTS } from "../../../src/base/limits.ts";
import type { Client } from "../../../src/client/client.ts";
import type { ClientEvent } from "../../../src/client/client_event.ts";
import { connect } from "../../../src/client/connect.ts";
import { describeEvent, memorySegments } from "../../../src/client/describe_event.ts";
import { CAP } from "../../../src/event/capability.ts";
import { KIND } from "../../../src/event/kind.ts";
import { BODY } from "../../../src/event/transfer_event.ts";
import { FakeDaemon, type Peer, type Script } from "./fake_daemon.ts";

async function faultOf(promise: Promise<unknown>): Promise<Fault> {
  return await assertRejects(() => promise, Fault) as Fault;
}

/** Runs `body` with a connected client and asserts that every descriptor is closed afterwards. */
async function withClient(
  script: Script,
  body: (client: Client, daemon: FakeDaemon, peer: Peer) => Promise<void>,
): Promise<void> {
  const before = openFdCount();
  {
    await using daemon = new FakeDaemon(script);
    await using client = await connect({ socket: daemon.path, name: "tester" });
    await body(client, daemon, daemon.peer);
  }
  assertEquals(openFdCount(), before, "descriptors are closed");
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function take(client: Client, n: number): Promise<ClientEvent[]> {
  const events: ClientEvent[] = [];
  for await (const event of client.events()) {
    events.push(event);
    if (events.length === n) break;
  }
  return events;
}

Deno.test("the first stream begins with what came before it", async () => {
  await withClient({ endpoints: ["alpha", "beta"] }, async (client) => {
    await pause(20);
    const events = await take(client, 2);
    assertEquals(events.map((event) => [event.kindName, event.endpoint, event.as("ROSTER")?.name]), [
      ["ROSTER", 0 as EndpointId, "alpha"],
      ["ROSTER", 1 as EndpointId, "beta"],
    ]);
  });
});

Deno.test("an endpoint is found by name or number; an unknown one is told with those there are", async () => {
  const script: Script = { endpoints: ["alpha", "beta"], onCommand: (command, peer) => peer.ack(command, 6) };
  await withClient(script, async (client) => {
    assertEquals(await client.endpoint("beta"), 1);
    assertEquals(await client.endpoint(0), 0);
    assertEquals(await client.endpoint("1"), 1);
    const fault = await faultOf(client.endpoint("gamma"));
    assertEquals(fault.code, "no-endpoint");
    assertStringIncludes(fault.message, "0 alpha, 1 beta");
    assertEquals((await faultOf(client.endpoint(9))).code, "no-endpoint");
  });
});

Deno.test("an entry that is gone leaves the roster", async () => {
  await withClient({ endpoints: ["alpha"] }, async (client, _daemon, peer) => {
    await client.next({ kinds: ["ROSTER"] });
    peer.roster(0, "alpha", 0);
    peer.roster(5, "late", 1, 0);
    await client.next({ kinds: ["ROSTER"], endpoints: [5] });
    assertEquals(client.roster.list(), [
      { endpoint: 5 as EndpointId, name: "late", state: "attaching", seams: [], pid: 4005, vmid: 105 },
    ]);
  });
});

Deno.test("a roster without INPUT is complete when it is quiet", async () => {
  await withClient(
    { endpoints: ["alpha", "beta"], welcome: { caps: CAP.ROSTER } },
    async (client, _d, peer) => {
      const roster = await client.completeRoster();
      assertEquals(roster.map(({ name }) => name), ["alpha", "beta"]);
      assertEquals(peer.commands.length, 0);
    },
  );
});

Deno.test("commands and answers find each other by corr, in any order", async () => {
  const held: ClientEvent[] = [];
  const script: Script = {
    endpoints: ["alpha"],
    onCommand: (command, peer) => {
      held.push(command);
      if (held.length < 3) return;
      for (const one of held.reverse()) {
        if (one.kind === KIND.CMD_VM && one.view.getUint32(0, true) === 0) {
          peer.reply(one, KIND.VM_LIFECYCLE, [1, 1]);
        } else peer.ack(one);
      }
    },
  };
  await withClient(script, async (client) => {
    const [state, stop, wake] = await Promise.all([
      client.vmState(0),
      client.vm(0, "stop"),
      client.vm("alpha", "wakeup"),
    ]);
    assertEquals(state, { state: "paused", detail: "host-request" });
    assertEquals(stop.as("ACT_ACK")?.cmdKind, KIND.CMD_VM);
    assertEquals(wake.as("ACT_ACK")?.cmdKind, KIND.CMD_LIFECYCLE);
  });
});

Deno.test("a refusal's words are those that came before it for its command, in parts, and nobody else's", async () => {
  const script: Script = {
    endpoints: ["alpha", "beta"],
    onCommand(command, peer) {
      if (command.kind === KIND.CMD_QUERY_INPUT) return peer.ack(command);
      peer.error(1, 10, command.corr, "another VM's");
      peer.error(0, 10, command.corr + 1, "another command's");
      peer.error(0, 6, command.corr, "the seam's");
      peer.error(0, 10, command.corr, "Unable to wake up: guest is");
      peer.error(0, 10, command.corr, " not in suspended \\x1b state\u202e");
      peer.ack(command, 10);
    },
  };
  await withClient(script, async (client) => {
    const fault = await faultOf(client.vm(0, "wakeup"));
    assertEquals(fault.code, "refused");
    assertEquals(
      fault.message,
      "Cannot wakeup alpha: the VM refused it: Unable to wake up: guest is not in suspended \\x1b state\\u{202e}",
    );
    assertEquals(client.fault, undefined);
  });
});

Deno.test("a refusal becomes a fault with the code and a remedy", async () => {
  await withClient(
    { endpoints: ["alpha"], onCommand: (command, peer) => peer.ack(command, 3) },
    async (client) => {
      const fault = await faultOf(client.vm("alpha", "reset"));
      assertEquals(fault.code, "no-lease");
      assertStringIncludes(fault.message, "Cannot reset alpha");
      assertStringIncludes(fault.message, "vmsig lease");
    },
  );
});

Deno.test("a code that this client does not know is told as it came", async () => {
  await withClient(
    { endpoints: ["alpha"], onCommand: (command, peer) => peer.ack(command, 77) },
    async (client) => {
      const fault = await faultOf(client.vm(0, "stop"));
      assertEquals(fault.code, "refused");
      assertStringIncludes(fault.message, "code-77");
    },
  );
});

Deno.test("a command times out, and can be given up by a signal", async () => {
  await withClient({ endpoints: ["alpha"] }, async (client) => {
    await client.next({ kinds: ["ROSTER"] });
    const late = await faultOf(client.vm(0, "stop", { timeoutMs: 20 }));
    assertEquals(late.code, "timed-out");
    assertStringIncludes(late.message, "20 ms");
    const aborter = new AbortController();
    const running = faultOf(client.vm(0, "stop", { signal: aborter.signal }));
    await pause(5);
    aborter.abort();
    assertEquals((await running).code, "interrupted");
    assertEquals((await faultOf(client.vm(0, "stop", { signal: aborter.signal }))).code, "interrupted");
  });
});

Deno.test("what became of a command that was given up is told when its answer has come", async () => {
  const held: ClientEvent[] = [];
  const script: Script = { endpoints: ["alpha"], onCommand: (command) => held.push(command) };
  await withClient(script, async (client, _daemon, peer) => {
    const corrs: number[] = [];
    for (let i = 0; i < 2; i++) corrs.push((await faultOf(client.vm(0, "stop", { timeoutMs: 20 }))).corr);
    const [first = 0, second = 0] = corrs;
    assert(first > 0 && second > first);
    assertEquals(await client.outcome(first), { is: "under way" });
    while (held.length < 2) await pause(1);
    peer.ack(held[0] as ClientEvent);
    peer.ack(held[1] as ClientEvent, CODE.refused);
    while ((await client.outcome(second)).is === "under way") await pause(1);
    assertEquals(await client.outcome(first), { is: "done" });
    assertEquals(await client.outcome(second), { is: "refused", code: "refused" });
    assertEquals((await client.outcome(4711)).is, "unknown");
    assertEquals((await faultOf(client.outcome("rack1/0123456789abcdef/1"))).code, "bad-argument");
  });
});

Deno.test("a daemon that goes ends commands, streams and leases with one fault", async () => {
  const script: Script = {
    endpoints: ["alpha"],
    onCommand: (command, peer) => {
      if (command.kind === KIND.CMD_ACQUIRE) peer.reply(command, KIND.LEASE_GRANTED, [0, 0, 5]);
    },
  };
  await withClient(script, async (client, daemon, peer) => {
    const lease = await client.acquire("0", "input");
    const stream = client.events({ kinds: ["VM_LIFECYCLE"] });
    const waiting = faultOf(stream.next());
    const command = faultOf(client.vm(0, "stop"));
    while (peer.commands.length < 2) await pause(1);
    daemon.drop(peer);
    assertEquals((await waiting).code, "unreachable");
    assertEquals((await command).code, "unreachable");
    assertEquals(await lease.lost, "disconnected");
    assertEquals(client.fault?.code, "unreachable");
    assertEquals((await faultOf(client.vm(0, "cont"))).code, "unreachable");
    assertEquals((await faultOf(client.events().next())).code, "unreachable");
  });
});

Deno.test("what the daemon did not understand is told", async () => {
  await withClient({ endpoints: ["alpha"] }, async (client, daemon, peer) => {
    const stream = client.events({ kinds: ["VM_LIFECYCLE"] });
    const waiting = faultOf(stream.next());
    // A monitor that speaks nonsense is a VM's affair, and none of this connection's.
    peer.send(KIND.ERROR, (event) => {
      event.endpoint = 0 as EndpointId;
      event.words[0] = 13;
      event.inline.set(new TextEncoder().encode("a monitor's"), 8);
    });
    peer.send(KIND.ERROR, (event) => {
      event.endpoint = 0xffff_ffff as EndpointId;
      event.words[0] = 13;
      event.inline.set(new TextEncoder().encode("bad magic"), 8);
    });
    await pause(5);
    daemon.drop(peer);
    const fault = await waiting;
    assertEquals(fault.code, "protocol-error");
    assertStringIncludes(fault.message, "bad magic");
    assert(!fault.message.includes("a monitor's"));
  });
});

Deno.test("several streams get each event; filters narrow", async () => {
  await withClient({}, async (client, _daemon, peer) => {
    const all = client.events();
    const urgent = client.events({ prioMin: 3 });
    const core = client.events({ sources: ["core"] });
    const nine = client.events({ endpoints: [9], kinds: ["vm_lifecycle", KIND.ROSTER] });
    peer.roster(0, "alpha");
    peer.send(KIND.VM_LIFECYCLE, (event) => event.endpoint = (9) as EndpointId) as EndpointId;
    peer.send(KIND.SEAM_UP, (event) => event.source = 5);
    assertEquals((await all.next()).value.kindName, "ROSTER");
    assertEquals((await all.next()).value.kindName, "VM_LIFECYCLE");
    assertEquals((await all.next()).value.kindName, "SEAM_UP");
    assertEquals((await urgent.next()).value.kindName, "VM_LIFECYCLE");
    assertEquals((await core.next()).value.kindName, "ROSTER");
    assertEquals((await nine.next()).value.kindName, "VM_LIFECYCLE");
    assertEquals([urgent.buffered, core.buffered, nine.buffered], [0, 0, 0]);
  });
});

Deno.test("a filter by a kind or source that does not exist is refused", async () => {
  await withClient({}, (client) => {
    const bad = { kinds: ["NOTHING"] } as unknown as { kinds: readonly number[] };
    try {
      client.events(bad);
      throw new Error("not refused");
    } catch (error) {
      assert(error instanceof Fault && error.code === "bad-argument");
    }
    return Promise.resolve();
  });
});

Deno.test("descriptors go with their event unless they are taken, and each stream has its own", async () => {
  await withClient({}, async (client, _daemon, peer) => {
    using memfd = createMemfd("ram", 8192);
    const first = client.events({ kinds: ["MEMCTX"] });
    const second = client.events();
    const body = new Uint8Array(32);
    new DataView(body.buffer).setBigUint64(16, 8192n, true);
    const send = () =>
      peer.send(KIND.MEMCTX, (event) => {
        event.setBody(BODY.RAW, body);
        event.view.setBigUint64(0, 0x1aa000n, true);
      }, [memfd.fd]);
    send();
    send();
    const open = openFdCount();
    while (second.buffered < 2) await pause(1);
    const one = (await first.next()).value as ClientEvent;
    assertEquals(one.fdCount, 1);
    assertEquals(memorySegments(one), [{ gpa: 0, fileOffset: 0, bytes: 8192, fdIndex: 0 }]);
    assertEquals(describeEvent(one)["kcr3"], "0x1aa000");
    assertEquals(describeEvent(one)["fds"], 1);
    using taken = one.takeFd(0);
    await first.next();
    assert(!taken.closed);
    const other = (await second.next()).value as ClientEvent;
    assert(other.fd(0) !== taken.fd, "the second consumer has a descriptor of its own");
    await second.next();
    await first.return();
    await second.return();
    // Each consumer had a descriptor of each event; all but the taken one are closed again.
    assertEquals(openFdCount(), open + 1);
  });
});

Deno.test("an event awaited by next belongs to the caller", async () => {
  await withClient({}, async (client, _daemon, peer) => {
    using memfd = createMemfd("ring", 4096);
    const waiting = client.next({ kinds: ["FRAME_RING"] });
    peer.send(KIND.FRAME_RING, () => {}, [memfd.fd]);
    using event = await waiting;
    assertEquals(event.fdCount, 1);
    assert(event.fd(0) >= 0);
    assertEquals(
      (await faultOf(client.next({ kinds: ["FRAME_RING"] }, { timeoutMs: 10 }))).code,
      "timed-out",
    );
  });
});

Deno.test("a stream that nobody iterates stops the reading, and a command starts it again", async () => {
  const script: Script = { endpoints: ["alpha"], onCommand: (command, peer) => peer.ack(command) };
  await withClient(script, async (client, _daemon, peer) => {
    await client.next({ kinds: ["ROSTER"] });
    const stream = client.events({ kinds: ["CURSOR_STATE"] });
    let sent = 0;
    // Until the socket is full: the client has stopped reading.
    for (let idle = 0; idle < 20 || stream.buffered < CLIENT_BUFFER_EVENTS;) {
      if (peer.send(KIND.CURSOR_STATE) > 0) {
        sent++;
        idle = 0;
      } else {
        idle++;
        await pause(2);
      }
    }
    assert(
      stream.buffered >= CLIENT_BUFFER_EVENTS && stream.buffered < CLIENT_BUFFER_EVENTS + 64,
      `${stream.buffered}`,
    );
    assert(sent > stream.buffered, "events wait in the socket");
    const stopping = client.vm(0, "stop");
    await stopping;
    assertEquals(stream.buffered, sent);
    // Emptied, it is read again.
    for (let i = 0; i < sent; i++) await stream.next();
    peer.send(KIND.CURSOR_STATE, (event) => event.words[3] = 77);
    assertEquals((await stream.next()).value.as("CURSOR_STATE")?.seq, 77);
  });
});

Deno.test("past its bound a stream drops the lowest priority, oldest first, and says so", async () => {
  await withClient({ endpoints: ["alpha"] }, async (client, _daemon, peer) => {
    await client.next({ kinds: ["ROSTER"] });
    const stream = client.events();
    const waiting = client.vm(0, "stop", { timeoutMs: 60_000 });
    const total = CLIENT_BUFFER_MAX_EVENTS + 10;
    for (let i = 0; i < total;) {
      const kind = i < 5 ? KIND.VM_LIFECYCLE : KIND.CURSOR_STATE;
      if (peer.send(kind, (event) => event.words[3] = i) > 0) i++;
      else await pause(1);
    }
    while (peer.commands.length === 0) await pause(1);
    peer.ack(peer.commands[0] as ClientEvent);
    await waiting;
    const first = (await stream.next()).value as ClientEvent;
    assertEquals(first.as("OVERRUN"), { lost: 10, highestPrioLost: 0 });
    for (let i = 0; i < 5; i++) assertEquals((await stream.next()).value.kindName, "VM_LIFECYCLE");
    assertEquals((await stream.next()).value.as("CURSOR_STATE")?.seq, 15);
  });
});

Deno.test("a stream full of urgent events ends with a fault", async () => {
  await withClient({ endpoints: ["alpha"] }, async (client, _daemon, peer) => {
    await client.next({ kinds: ["ROSTER"] });
    const stream = client.events();
    const waiting = faultOf(client.vm(0, "stop", { timeoutMs: 60_000 }));
    for (let i = 0; i <= CLIENT_BUFFER_MAX_EVENTS;) {
      if (peer.send(KIND.VM_LIFECYCLE) > 0) i++;
      else await pause(1);
    }
    while (peer.commands.length === 0) await pause(1);
    peer.ack(peer.commands[0] as ClientEvent, 10);
    assertEquals((await waiting).code, "refused");
    let read = 0;
    const fault = await faultOf((async () => {
      for await (const _event of stream) read++;
    })());
    assertEquals(fault.code, "too-large");
    assertEquals(read, CLIENT_BUFFER_MAX_EVENTS + 1);
  });
});

Deno.test("a gap in the numbers is a fault, but not after an OVERRUN", async () => {
  await withClient({}, async (client, _daemon, peer) => {
    const stream = client.events();
    peer.send(KIND.VM_LIFECYCLE);
    peer.send(KIND.OVERRUN, (event) => event.words[0] = 3);
    peer.seq += 3;
    peer.send(KIND.VM_LIFECYCLE);
    for (const kind of ["VM_LIFECYCLE", "OVERRUN", "VM_LIFECYCLE"]) {
      assertEquals((await stream.next()).value.kindName, kind);
    }
    peer.seq += 1;
    peer.send(KIND.VM_LIFECYCLE);
    const fault = await faultOf(stream.next());
    assertEquals(fault.code, "protocol-error");
    assertStringIncludes(fault.message, "OVERRUN");
  });
});

Deno.test("garbage from the daemon is a fault, not a crash", async () => {
  await withClient({}, async (client, _daemon, peer) => {
    const stream = client.events();
    peer.sendRaw(new Uint8Array(50));
    const fault = await faultOf(stream.next());
    assertEquals(fault.code, "protocol-error");
    assertStringIncludes(fault.message, "short frame");
  });
});

Deno.test("an unanswered event with a corr of nobody's still reaches the streams", async () => {
  await withClient({}, async (client, _daemon, peer) => {
    const stream = client.events();
    peer.send(KIND.VM_LIFECYCLE, (event) => event.corr = 999);
    assertEquals((await stream.next()).value.corr, 999);
  });
});

Deno.test("publishing sends UP, with descriptors", async () => {
  await withClient({}, async (client, _daemon, peer) => {
    client.publish(KIND.CURSOR_STATE, 3 as EndpointId, (event) => event.words[0] = 12);
    while (peer.commands.length === 0) await pause(1);
    const event = peer.commands[0] as ClientEvent;
    assertEquals([event.kindName, event.dir, event.sourceName, event.endpoint], [
      "CURSOR_STATE",
      0,
      "FRAME",
      3,
    ]);
    assertEquals(event.as("CURSOR_STATE")?.x, 12);
  });
});
