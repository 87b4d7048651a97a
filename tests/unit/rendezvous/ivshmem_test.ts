import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { openFdCount, OwnedFd } from "../../../ffi/owned_fd.ts";
import { IN, pollNow } from "../../../ffi/poller.ts";
import { shim } from "../../../ffi/shim.ts";
import { connectUnix, SOCKET } from "../../../ffi/unix_socket.ts";
import { Fault } from "../../../src/base/fault.ts";
import { connectIvshmem, IvshmemListener } from "../../../src/rendezvous/ivshmem_channel.ts";
import { IvshmemDevice } from "../../../src/rendezvous/ivshmem_device.ts";
import { type IvshmemOptions, IvshmemServer } from "../../../src/rendezvous/ivshmem_server.ts";
import { PollerRegistrar } from "../../../src/rendezvous/poller_registrar.ts";
import { HEADER } from "../../../src/v2v/region_layout.ts";
import { Stream } from "../../../src/v2v/stream.ts";
import { HANG_MS, runtimeDir } from "./channel_fixture.ts";

const bytes = (words: string): Uint8Array => new TextEncoder().encode(words);

/** Runs a server while `body` runs; all descriptors must be closed afterwards. */
async function withServer(
  options: Omit<IvshmemOptions, "socketPath">,
  body: (path: string, server: IvshmemServer) => Promise<void>,
): Promise<void> {
  const before = openFdCount();
  {
    using dir = runtimeDir();
    using loop = new PollerRegistrar();
    const server = new IvshmemServer({ socketPath: `${dir.path}/ivshmem.sock`, ...options });
    server.addTo(loop);
    const running = loop.run();
    try {
      await body(server.socketPath, server);
    } finally {
      server[Symbol.dispose]();
      loop.stop();
      await running;
    }
  }
  assertEquals(openFdCount(), before, "every descriptor is closed");
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    assert(i < HANG_MS / 10, "what was waited for has not come");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("ivshmem: two processes over the server, messages both ways, and who comes and goes", async () => {
  await withServer({}, async (path, server) => {
    assertEquals(server.sizeBytes, 1 << 20);
    using one = await IvshmemDevice.openAsync(path, HANG_MS);
    using two = await IvshmemDevice.openAsync(path, HANG_MS);
    assertEquals(server.peers.map((peer) => peer.id), [one.id, two.id]);
    one.hear();
    assertEquals([one.others, two.others], [[two.id], [one.id]]);
    assertEquals(assertThrows(() => connectIvshmem(two), Fault).code, "no-endpoint");
    const listener = new IvshmemListener(one, { prodOrder: 2, consOrder: 3 });
    const accepting = listener.acceptAsync(HANG_MS);
    const right = connectIvshmem(two);
    const left = await accepting;
    assertEquals(assertThrows(() => connectIvshmem(two), Fault).code, "busy");
    const woken = right.waitAsync("receive", HANG_MS);
    left.sendMessage(bytes("over there"), 3);
    assertEquals(await woken, "ready");
    assertEquals(right.receiveMessage(), bytes("over there"));
    right.sendMessage(bytes("and back"));
    assertEquals(left.waitReceive(HANG_MS), "ready");
    assertEquals(left.receiveMessage(), bytes("and back"));
    const bye = left.disconnectAsync(HANG_MS);
    assertEquals(await right.waitAsync("control", HANG_MS), "ready");
    right.disconnect();
    assertEquals(await bye, "clean");
    // The next listen is the next generation.
    using again = new IvshmemListener(one);
    const second = connectIvshmem(two);
    const other = await again.acceptAsync(HANG_MS);
    assertEquals([other.generation, second.generation], [left.generation + 1, left.generation + 1]);
    two[Symbol.dispose](); // without a goodbye
    await until(() => other.remoteState() === "crashed");
    assertEquals(server.peers.length, 1);
    assertEquals(other.waitReceive(HANG_MS), "closed");
    other[Symbol.dispose]();
  });
});

Deno.test("ivshmem: a stream, whole to the last byte", async () => {
  await withServer({ order: 2 }, async (path) => {
    using one = await IvshmemDevice.openAsync(path, HANG_MS);
    using two = await IvshmemDevice.openAsync(path, HANG_MS);
    using listener = new IvshmemListener(one, { prodOrder: 1, consOrder: 2 });
    const right = connectIvshmem(two);
    const left = await listener.acceptAsync(HANG_MS);
    const sent = Uint8Array.from({ length: 1_000_003 }, (_, i) => (i * 40503) >>> 5);
    const stream = new Stream(right);
    const received = new Uint8Array(sent.length);
    const sending = new Stream(left).sendAsync(sent, HANG_MS);
    for (let at = 0; at < sent.length;) {
      const result = await stream.receiveAsync(received.subarray(at), HANG_MS);
      assertEquals(result.outcome, "data");
      at += result.received;
    }
    assertEquals((await sending).outcome, "done");
    assertEquals(received, sent);
    right[Symbol.dispose]();
    left[Symbol.dispose]();
  });
});

Deno.test("ivshmem: an end whose heartbeat stops is crashed within its time, and hangs nobody", async () => {
  await withServer({}, async (path) => {
    using one = await IvshmemDevice.openAsync(path, HANG_MS);
    using two = await IvshmemDevice.openAsync(path, HANG_MS);
    using listener = new IvshmemListener(one);
    // A connector that took its place and never beats: only the words of the handshake.
    const words = new Int32Array(two.region.buffer, 0, 64);
    words[HEADER.at.connectorPeerId >> 2] = two.id;
    words[HEADER.at.connectorGeneration >> 2] = words[HEADER.at.generation >> 2] as number;
    words[HEADER.at.connectorState >> 2] = 0x125;
    const left = await listener.acceptAsync(HANG_MS);
    assertEquals(await left.waitAsync("receive", HANG_MS), "closed");
    assertEquals(left.remoteState(), "crashed");
    left[Symbol.dispose]();
  });
});

Deno.test("ivshmem: the doorbells of who leaves are emptied, so that nobody stays stuck at ringing one that was filled", async () => {
  await withServer({}, async (path, server) => {
    using one = await IvshmemDevice.openAsync(path, HANG_MS);
    using two = await IvshmemDevice.openAsync(path, HANG_MS);
    const [bell] = two.bells(one.id) ?? [];
    assert(bell !== undefined && bell.ring());
    using same = new OwnedFd(shim().vmsig_dup(bell.fd, 0));
    assertEquals(pollNow(same.fd, IN), IN);
    one[Symbol.dispose]();
    await until(() => server.peers.length === 1);
    assertEquals(pollNow(same.fd, IN), 0);
  });
});

Deno.test("ivshmem: a region that is just being laid out has no listener yet; one of another layout is refused", async () => {
  await withServer({}, async (path) => {
    using one = await IvshmemDevice.openAsync(path, HANG_MS);
    using two = await IvshmemDevice.openAsync(path, HANG_MS);
    const words = new Int32Array(two.region.buffer, 0, 64);
    words[HEADER.at.generation >> 2] = 7; // the magic comes last
    assertEquals(assertThrows(() => connectIvshmem(one), Fault).code, "no-endpoint");
    words[HEADER.at.magicLow >> 2] = 0x52563256;
    assertEquals(assertThrows(() => connectIvshmem(one), Fault).code, "no-endpoint");
    words[HEADER.at.magicHigh >> 2] = 0x12345678;
    assertEquals(assertThrows(() => connectIvshmem(one), Fault).code, "protocol-error");
  });
});

Deno.test("ivshmem: a stale connector is never accepted", async () => {
  await withServer({}, async (path) => {
    using one = await IvshmemDevice.openAsync(path, HANG_MS);
    using _two = await IvshmemDevice.openAsync(path, HANG_MS);
    using listener = new IvshmemListener(one);
    const words = new Int32Array(one.region.buffer, 0, 64);
    words[HEADER.at.connectorGeneration >> 2] = (words[HEADER.at.generation >> 2] as number) - 1;
    words[HEADER.at.connectorState >> 2] = 0x125;
    assertEquals((await assertRejects(() => listener.acceptAsync(100), Fault)).code, "timed-out");
  });
});

Deno.test("ivshmem: strangers, speakers, and too many are dropped; the others do not notice", async () => {
  await withServer({ rule: () => false }, async (path, server) => {
    assertEquals((await assertRejects(() => IvshmemDevice.openAsync(path, HANG_MS), Fault)).code, "refused");
    assertEquals(server.peers.length, 0);
  });
  await withServer({}, async (path, server) => {
    using one = await IvshmemDevice.openAsync(path, HANG_MS);
    {
      using speaker = connectUnix(path, SOCKET.STREAM);
      await until(() => server.peers.length === 2);
      const { sendOne } = await import("../../../ffi/datagram.ts");
      sendOne(speaker.fd, new Uint8Array(8), 0, 8);
      await until(() => server.peers.length === 1);
    }
    const others: IvshmemDevice[] = [];
    while (server.peers.length < 8) others.push(await IvshmemDevice.openAsync(path, HANG_MS));
    assertEquals((await assertRejects(() => IvshmemDevice.openAsync(path, HANG_MS), Fault)).code, "refused");
    one.hear();
    assertEquals(one.others.length, 7);
    for (const other of others) other[Symbol.dispose]();
    await until(() => server.peers.length === 1);
    await until(() => (one.hear(), one.others.length === 0));
  });
});
