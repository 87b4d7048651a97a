import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { decode } from "cborg";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { listenUnix, SOCKET } from "../../../ffi/unix_socket.ts";
import { Fault } from "../../../src/base/fault.ts";
import { connect } from "../../../src/client/connect.ts";
import { KIND_MAX } from "../../../src/event/kind.ts";
import { ALL_SOURCES } from "../../../src/event/source.ts";
import { FakeDaemon } from "./fake_daemon.ts";

async function faultOf(promise: Promise<unknown>): Promise<Fault> {
  return await assertRejects(() => promise, Fault) as Fault;
}

Deno.test("who gives up joining waits for no daemon, and a WELCOME that comes late is nobody's", async () => {
  await using daemon = new FakeDaemon({ mute: true });
  const given = new AbortController();
  const joining = connect({
    socket: daemon.path,
    name: "impatient",
    signal: given.signal,
    timeoutMs: 3_600_000,
  });
  while (daemon.peers[0]?.hello === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
  given.abort();
  assertEquals((await assertRejects(() => joining, Fault)).code, "interrupted");
  while (daemon.peers[0]?.fd.closed === false) await new Promise((resolve) => setTimeout(resolve, 1));
  const late = () =>
    connect({ socket: daemon.path, name: "late", signal: given.signal, timeoutMs: 3_600_000 });
  assertEquals((await assertRejects(late, Fault)).code, "interrupted");
});

Deno.test("connect says HELLO as the protocol has it, and tells the grant", async () => {
  const before = openFdCount();
  {
    await using daemon = new FakeDaemon({ welcome: { caps: 0x41, principal: 4711, endpoints: 5 } });
    await using client = await connect({
      socket: daemon.path,
      name: "tester",
      sub: { sources: ["vmhost", "CORE"], prioMin: 1, endpoints: [0, 63] },
    });
    assertEquals(client.grant.principal, 4711);
    assertEquals(client.grant.capNames, ["OBSERVE", "VM"]);
    assertEquals(client.grant.endpoints, { lo: 5, hi: 0 });
    const hello = daemon.peer.hello;
    assertEquals(hello?.kindName, "HELLO");
    assertEquals(decode(hello?.body ?? new Uint8Array()), {
      proto: 1,
      name: "tester",
      sub: { sources: (1 << 5) | (1 << 4), prio_min: 1, endpoints: (1n << 63n) | 1n },
      kinds: KIND_MAX,
    });
  }
  assertEquals(openFdCount(), before);
});

Deno.test("without a subscription everything is wanted", async () => {
  await using daemon = new FakeDaemon();
  await using _client = await connect({ socket: daemon.path, name: "tester" });
  assertEquals(decode(daemon.peer.hello?.body ?? new Uint8Array()), {
    proto: 1,
    name: "tester",
    sub: { sources: ALL_SOURCES, prio_min: 0, endpoints: 0 },
    kinds: KIND_MAX,
  });
});

Deno.test("a refusal carries the daemon's code and words", async () => {
  const before = openFdCount();
  {
    await using daemon = new FakeDaemon({ refuse: { code: 17, reason: "uid 1000 is not admitted" } });
    const fault = await faultOf(connect({ socket: daemon.path, name: "tester" }));
    assertEquals(fault.code, "not-admitted");
    assertStringIncludes(fault.message, "uid 1000 is not admitted");
    assertStringIncludes(fault.message, "[[admission]]");
  }
  assertEquals(openFdCount(), before);
});

Deno.test("a daemon that says nothing is given up", async () => {
  const before = openFdCount();
  {
    await using daemon = new FakeDaemon({ mute: true });
    const fault = await faultOf(connect({ socket: daemon.path, name: "tester", timeoutMs: 30 }));
    assertEquals(fault.code, "timed-out");
  }
  assertEquals(openFdCount(), before);
});

Deno.test("another protocol, a bad WELCOME and a daemon that hangs up are told apart", async () => {
  {
    await using daemon = new FakeDaemon({ welcome: { proto: 2 } });
    const fault = await faultOf(connect({ socket: daemon.path, name: "tester" }));
    assertEquals(fault.code, "protocol-error");
    assertStringIncludes(fault.message, "protocol 2");
  }
  {
    await using daemon = new FakeDaemon({ welcome: { endpoints: -1 } });
    const fault = await faultOf(connect({ socket: daemon.path, name: "tester" }));
    assertStringIncludes(fault.message, "no endpoints");
  }
  {
    await using daemon = new FakeDaemon({ mute: true });
    const joining = faultOf(connect({ socket: daemon.path, name: "tester" }));
    while (daemon.peers.length === 0 || daemon.peer.hello === undefined) {
      await new Promise((r) => setTimeout(r, 1));
    }
    daemon.drop(daemon.peer);
    assertEquals((await joining).code, "unreachable");
  }
});

Deno.test("why the daemon cannot be reached is told", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const at = (name: string) =>
      faultOf(connect({ socket: `${directory}/${name}`, name: "tester", timeoutMs: 50 }));
    const none = await at("none.sock");
    assertEquals(none.code, "unreachable");
    assertStringIncludes(none.message, "no such socket");

    listenUnix(`${directory}/dead.sock`, SOCKET.SEQPACKET).close();
    const dead = await at("dead.sock");
    assertEquals(dead.code, "unreachable");
    assertStringIncludes(dead.message, "no daemon listens");

    using _stream = listenUnix(`${directory}/stream.sock`, SOCKET.STREAM);
    const stream = await at("stream.sock");
    assertEquals(stream.code, "unreachable");
    assertStringIncludes(stream.message, "another kind");

    await Deno.writeTextFile(`${directory}/file`, "");
    assertEquals((await at("file/x.sock")).code, "unreachable");
    assertEquals((await at("x".repeat(200))).code, "bad-argument");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
