/**
 * A listener between processes that runs out of descriptors: who knocks is told to come again, a channel that
 * is in use goes on, and the prefix can be connected to when the descriptors are back.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import "../unit/ffi/loaded_shim.ts";
import { connectUnix, SOCKET } from "../../ffi/unix_socket.ts";
import { Fault } from "../../src/base/fault.ts";
import { socketPathOf } from "../../src/rendezvous/prefix.ts";
import { connectProcessAsync } from "../../src/rendezvous/process_connector.ts";
import { until } from "../fixtures/daemon_process.ts";
import { HostileProgram, leaveRoom } from "../fixtures/hostile_program.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const PLENTY = 1000;

/** A listener in a process of its own, ready to be connected to. */
async function withListener(use: (dir: string, listener: HostileProgram) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "vmsig-hostile-v2v-" });
  try {
    const program = `${ROOT}tests/hostile/v2v_victim.ts`;
    const options = ["run", "-A", "--quiet", "--no-check", "--config", `${ROOT}deno.json`];
    await using listener = new HostileProgram([Deno.execPath(), ...options, program, dir, "0"]);
    await listener.says(/listening/);
    await use(dir, listener);
    assertEquals(await listener.endBy("SIGTERM"), 0);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test("a listener without descriptors turns connectors away, and takes them when there are some", async () => {
  await withListener(async (dir, listener) => {
    await leaveRoom(listener.pid, 3); // the connection, the memory, and one of four doorbells
    for (let i = 0; i < 3; i++) {
      const fault = await assertRejects(() => connectProcessAsync(dir, "spoilt"), Fault);
      assertEquals(fault.code, "busy");
      assertMatch(fault.message, /no descriptors left; try again/);
    }
    await leaveRoom(listener.pid, 0); // not even a connection: only its spare descriptor is left for it
    assertEquals((await assertRejects(() => connectProcessAsync(dir, "spoilt"), Fault)).code, "busy");
    await leaveRoom(listener.pid, 7); // all for a guest, but not for the channel that it wants to become
    const joining = await connectProcessAsync(dir, "spoilt");
    await until("it is told that nothing comes of it", () => joining.remoteState() === "disconnected");
    joining.disconnect(0);
    await leaveRoom(listener.pid, PLENTY);
    const channel = await connectProcessAsync(dir, "spoilt");
    await listener.says(/connected/);
    channel.disconnect(0);
  });
});

Deno.test("who knocks at a channel in use, when there are no descriptors, does not disturb it", async () => {
  await withListener(async (dir, listener) => {
    const channel = await connectProcessAsync(dir, "spoilt");
    await listener.says(/connected/);
    await leaveRoom(listener.pid, 0);
    const knocking = Array.from(
      { length: 6 },
      () => connectUnix(socketPathOf(dir, "spoilt"), SOCKET.SEQPACKET),
    );
    await listener.tell("go\n");
    let received = 0;
    for (let i = 0; i < 300; i++) {
      assertEquals(await channel.waitAsync("receive", 120_000), "ready");
      for (let got = channel.receiveMessage(); got !== undefined; got = channel.receiveMessage()) received++;
    }
    assert(received >= 300);
    await leaveRoom(listener.pid, PLENTY);
    // They hear at last that the listener has somebody.
    await assertRejects(
      () => connectProcessAsync(dir, "spoilt", { timeoutMs: 120_000 }),
      Fault,
      "has a connector already",
    );
    for (const socket of knocking) socket.close();
    channel.disconnect(0);
    await until("the pipe ends", () => /ended: without an error/.test(listener.text));
  });
});
