import { assert, assertEquals } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { socketFolder, socketPathOf } from "../../../src/rendezvous/prefix.ts";
import { connectProcess } from "../../../src/rendezvous/process_connector.ts";
import { ProcessListener } from "../../../src/rendezvous/process_listener.ts";
import type { Channel } from "../../../src/v2v/channel.ts";
import { SeededRandom } from "../../fixtures/seeded_random.ts";
import { cPeer, startCPeer } from "./c_peer.ts";
import { HANG_MS, runtimeDir } from "./channel_fixture.ts";

/** Reads until the channel ends; how many messages came. Every message must be whole. */
function drain(channel: Channel): number {
  let count = 0;
  for (;;) {
    const payload = channel.receiveMessage();
    if (payload !== undefined) {
      assertEquals(payload.length, 64, "what was sent before the death is whole");
      count++;
      continue;
    }
    const outcome = channel.waitReceive(HANG_MS);
    if (outcome === "closed") return count;
    assertEquals(outcome, "ready", "a death ends the wait long before its timeout");
  }
}

Deno.test("an end killed at 200 random points hangs nobody, and what it sent is whole", async () => {
  const random = new SeededRandom();
  await cPeer();
  const seen = { crashed: 0, refused: 0, messages: 0 };
  try {
    for (let i = 0; i < 200; i++) {
      using dir = runtimeDir();
      const path = socketPathOf(dir.path, "victim");
      Deno.mkdirSync(socketFolder(dir.path));
      using listener = i % 2 === 0
        ? new ProcessListener(dir.path, "victim", { prodOrder: 0, consOrder: 0 })
        : undefined;
      const victim = await startCPeer([listener === undefined ? "listen" : "connect", path, "flood"]);
      const output = victim.stdout.cancel();
      const killSoon = () =>
        new Promise((resolve) => setTimeout(resolve, random.below(8))).then(() => victim.kill("SIGKILL"));
      // Half of them while they come, if the machine is fast enough for it; the others once they are there.
      const isEarly = i % 4 < 2;
      let killing = isEarly ? killSoon() : Promise.resolve();
      try {
        // Synchronous waits would stop the timer: the kill must come while we wait.
        const channel = listener === undefined
          ? await untilThere(() => connectProcess(dir.path, "victim", { timeoutMs: HANG_MS }), victim)
          : await listener.acceptAsync(isEarly ? 500 : HANG_MS);
        if (!isEarly) killing = killSoon();
        await killing;
        seen.messages += drain(channel);
        assertEquals(channel.remoteState(), "crashed");
        channel.disconnect(100);
        seen.crashed++;
      } catch (error) {
        // Killed before there was a channel: a named error, in time.
        if (!(error instanceof Fault)) throw error;
        assert(["no-endpoint", "timed-out", "refused"].includes(error.code), String(error));
        seen.refused++;
      }
      await killing;
      await output;
      await victim.status;
    }
  } catch (error) {
    throw new Error(`with VMSIG_SEED=${random.seed}`, { cause: error });
  }
  assert(
    seen.crashed > 20 && seen.messages > 0,
    `too few of the 200 deaths hit a channel: ${JSON.stringify(seen)}`,
  );
});

async function untilThere(connect: () => Channel, process: Deno.ChildProcess): Promise<Channel> {
  let ended = false;
  process.status.then(() => ended = true);
  for (;;) {
    try {
      return connect();
    } catch (error) {
      if (!(error instanceof Fault && error.code === "no-endpoint") || ended) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

Deno.test("an end killed between prepare and send: the message is not there, the one before it is", async () => {
  using dir = runtimeDir();
  using listener = new ProcessListener(dir.path, "victim");
  const victim = await startCPeer(["connect", socketPathOf(dir.path, "victim"), "die"]);
  const channel = await listener.acceptAsync(HANG_MS);
  assertEquals(await channel.waitAsync("receive", HANG_MS), "ready");
  assertEquals(new TextDecoder().decode(channel.receiveMessage()), "sent");
  assertEquals(await channel.waitAsync("receive", HANG_MS), "closed");
  assertEquals(channel.receiveMessage(), undefined);
  assertEquals(channel.remoteState(), "crashed");
  channel.disconnect(100);
  await victim.stdout.cancel();
  await victim.status;
});
