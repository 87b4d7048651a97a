import { assert, assertEquals } from "@std/assert";
import { connectIvshmem, IvshmemListener } from "../../src/rendezvous/ivshmem_channel.ts";
import { IvshmemDevice } from "../../src/rendezvous/ivshmem_device.ts";
import { IvshmemServer } from "../../src/rendezvous/ivshmem_server.ts";
import { PollerRegistrar } from "../../src/rendezvous/poller_registrar.ts";
import { Stream } from "../../src/v2v/stream.ts";
import { startGuest } from "./qemu.ts";
import { ByteHash, fillWords } from "./v2v_bytes.ts";

const repo = (name: string): string => new URL(`../../${name}`, import.meta.url).pathname;
const PROGRAM = {
  name: "v2v_guest",
  sources: [
    repo("tests/c/v2v_guest.c"),
    repo("shim/guest/vmsig_v2v.c"),
    repo("shim/guest/vmsig_v2v_ivshmem.c"),
  ],
};
const TIMEOUT_MS = 180_000;
const STREAM_BYTES = 100 * 1024 * 1024;

function startVm(socketPath: string, name: string) {
  return startGuest({
    kernel: "cloud",
    name,
    programs: [PROGRAM],
    ramMiB: 256,
    extraArgs: [
      "-chardev",
      `socket,path=${socketPath},id=v2v`,
      "-device",
      "ivshmem-doorbell,vectors=4,chardev=v2v",
    ],
  });
}

/** A server on a loop of its own while the body runs. */
async function withServer(body: (path: string, server: IvshmemServer) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-v2v-" });
  try {
    using loop = new PollerRegistrar();
    const server = new IvshmemServer({ socketPath: `${dir}/v2v.sock` });
    server.addTo(loop);
    const running = loop.run();
    try {
      await body(server.socketPath, server);
    } finally {
      server[Symbol.dispose]();
      loop.stop();
      await running;
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("v2v: two guests exchange messages over the ivshmem server, and one's death is noticed", async () => {
  await withServer(async (path, server) => {
    await using one = await startVm(path, "v2v-one");
    await using two = await startVm(path, "v2v-two");
    assertEquals(server.peers.length, 2);
    const echo = await one.agent.start("v2v_guest", "listen", "4", "echo");
    await echo.lineMatching(/^listening$/);
    const ping = await two.agent.start("v2v_guest", "connect", "ping", "5000");
    await ping.lineMatching(/^pinged 5000$/);
    await echo.lineMatching(/^echoed 5000$/);
    assertEquals((await echo.wait()).code, 0);
    assertEquals((await ping.wait()).code, 0);
    // The next generation, whose connector dies without a goodbye.
    const again = await one.agent.start("v2v_guest", "listen", "0", "echo");
    await again.lineMatching(/^listening$/);
    const victim = await two.agent.start("v2v_guest", "connect", "ping", "100000000");
    await victim.lineMatching(/generation 2/);
    two.kill("SIGKILL");
    await again.lineMatching(/^echoed \d+$/);
    await two.ended;
    while (server.peers.length > 1) await new Promise((resolve) => setTimeout(resolve, 20));
  });
});

Deno.test("v2v: 100 MB each way between a guest and the host, verified by hash", async () => {
  await withServer(async (path) => {
    using device = await IvshmemDevice.openAsync(path);
    await using vm = await startVm(path, "v2v-stream");
    {
      using listener = new IvshmemListener(device, { prodOrder: 6, consOrder: 6 });
      const guest = await vm.agent.start("v2v_guest", "connect", "hash");
      const channel = await listener.acceptAsync(TIMEOUT_MS);
      const stream = new Stream(channel);
      const words = new Uint32Array(1 << 16), bytes = new Uint8Array(words.buffer);
      const hash = new ByteHash();
      for (let sent = 0, state = 1; sent < STREAM_BYTES; sent += bytes.length) {
        state = fillWords(words, state);
        hash.add(bytes);
        assertEquals((await stream.sendAsync(bytes, TIMEOUT_MS)).outcome, "done");
      }
      assertEquals(await channel.disconnectAsync(TIMEOUT_MS), "clean");
      await guest.lineMatching(new RegExp(`^${hash}$`));
      assertEquals((await guest.wait()).code, 0);
    }
    const guest = await vm.agent.start("v2v_guest", "listen", "6", "bytes", String(STREAM_BYTES), "7");
    await guest.lineMatching(/^listening$/);
    const channel = connectIvshmem(device);
    const stream = new Stream(channel);
    const target = new Uint8Array(1 << 16);
    const hash = new ByteHash();
    for (;;) {
      const result = await stream.receiveAsync(target, TIMEOUT_MS);
      if (result.outcome !== "data") break;
      hash.add(target.subarray(0, result.received));
    }
    assertEquals(channel.remoteState(), "disconnecting");
    channel.disconnect();
    await guest.lineMatching(new RegExp(`^${hash}$`));
    assert(hash.bytes === STREAM_BYTES);
    assertEquals((await guest.wait()).code, 0);
  });
});
