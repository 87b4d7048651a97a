import { assert, assertEquals } from "@std/assert";
import { ProcessListener } from "../../../src/rendezvous/process_listener.ts";
import { consume } from "../../../src/rendezvous/bench_load.ts";
import { channelPair, HANG_MS, runtimeDir } from "./channel_fixture.ts";

/** The whole run is 100000000: VMSIG_V2V_MESSAGES says so. */
const MESSAGES = Number(Deno.env.get("VMSIG_V2V_MESSAGES") ?? 2_000_000);

for (const [batch, order] of [[1, 0], [64, 4]] as const) {
  Deno.test(`two processes move ${MESSAGES} messages, ${batch} a doorbell, every one checked`, async () => {
    using dir = runtimeDir();
    using listener = new ProcessListener(dir.path, "long", { prodOrder: order, consOrder: order });
    const program = new URL("../../bench/v2v_peer.ts", import.meta.url).pathname;
    const args = [
      "run",
      "-A",
      "--no-check",
      program,
      dir.path,
      "long",
      "produce",
      "64",
      String(MESSAGES),
      String(batch),
    ];
    const producer = new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "inherit" }).spawn();
    const channel = await listener.acceptAsync(HANG_MS);
    consume(channel, 64, MESSAGES);
    assertEquals(channel.receiver.get(), false, "and not one more");
    await channel.disconnectAsync(HANG_MS);
    assertEquals((await producer.status).code, 0);
  });
}

Deno.test("a channel costs its rings and little else", async () => {
  using dir = runtimeDir();
  const open = async (name: string) => {
    const { listener, left, right } = await channelPair(dir.path, { prodOrder: 4, consOrder: 4 }, name);
    for (const end of [left, right]) {
      while (end.sendMessage(new Uint8Array(4000)) === "ok") { /* touch all of the ring */ }
    }
    return { listener, left, right };
  };
  const pairs = [await open("warm-up")];
  const before = Deno.memoryUsage().rss;
  const count = 24;
  for (let i = 0; i < count; i++) pairs.push(await open(`channel-${i}`));
  const each = (Deno.memoryUsage().rss - before) / count / 2;
  for (const { listener, left, right } of pairs) {
    right[Symbol.dispose]();
    left[Symbol.dispose]();
    listener[Symbol.dispose]();
  }
  const rings = 2 * 65_536;
  assert(
    each <= rings + 1_048_576,
    `an end takes ${Math.round(each / 1024)} KiB for rings of ${rings / 1024} KiB`,
  );
});
