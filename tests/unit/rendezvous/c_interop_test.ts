import { assertEquals } from "@std/assert";
import { ProcessListener } from "../../../src/rendezvous/process_listener.ts";
import { socketFolder, socketPathOf } from "../../../src/rendezvous/prefix.ts";
import type { Channel } from "../../../src/v2v/channel.ts";
import { Stream } from "../../../src/v2v/stream.ts";
import { webStreams } from "../../../src/v2v/web_streams.ts";
import { consume, produce } from "../../../src/rendezvous/bench_load.ts";
import { startCPeer } from "./c_peer.ts";
import { connectWhenThere, HANG_MS, runtimeDir } from "./channel_fixture.ts";

/** A channel with a C peer that does `what`; both are gone when it returns. */
async function withCPeer(
  theirs: "connect" | "listen",
  what: string[],
  body: (channel: Channel, peer: Deno.ChildProcess) => unknown,
  stdin: "piped" | "null" = "null",
): Promise<{ code: number; output: Uint8Array }> {
  using dir = runtimeDir();
  const path = socketPathOf(dir.path, "c");
  Deno.mkdirSync(socketFolder(dir.path));
  using listener = theirs === "connect"
    ? new ProcessListener(dir.path, "c", { prodOrder: 3, consOrder: 5 })
    : undefined;
  const peer = await startCPeer([theirs, path, ...what], stdin);
  const output = new Response(peer.stdout).bytes();
  try {
    const channel = await (listener?.acceptAsync(HANG_MS) ?? connectWhenThere(dir.path, "c"));
    await body(channel, peer);
    await channel.disconnectAsync(HANG_MS);
  } catch (error) {
    peer.kill("SIGKILL");
    throw error;
  } finally {
    await output;
    await peer.status;
  }
  return { code: (await peer.status).code, output: await output };
}

for (const role of ["connect", "listen"] as const) {
  for (const reading of [[], ["--by-ring"]]) {
    const name = `C that ${role}s${reading.length > 0 ? ", reading the doorbells by ring" : ""}`;

    Deno.test(`${name}: consumes 300,000 messages that we produce`, async () => {
      const { code, output } = await withCPeer(
        role,
        [...reading, "consume", "64", "300000"],
        async (channel) => {
          produce(channel, 64, 300_000, 16);
          while (!channel.sender.drained()) await channel.waitAsync("control", 10);
        },
      );
      assertEquals([code, new TextDecoder().decode(output)], [0, "consumed 300000\n"]);
    });

    Deno.test(`${name}: produces 300,000 messages that we check`, async () => {
      const { code } = await withCPeer(role, [...reading, "produce", "1000", "300000"], (channel) => {
        consume(channel, 1000, 300_000);
      });
      assertEquals(code, 0);
    });
  }

  Deno.test(`C that ${role}s echoes messages of every size up to half the ring`, async () => {
    const { code } = await withCPeer(role, ["echo"], (channel) => {
      // What both rings take.
      const most = Math.min(
        channel.sender.maxPayloadBytes,
        16_384 - 8,
        8192 * (role === "connect" ? 2 : 1) - 8,
      );
      for (let bytes = 0; bytes <= most; bytes += 1 + (bytes >> 3)) {
        const payload = Uint8Array.from({ length: bytes }, (_, i) => i * 7 + bytes);
        assertEquals(channel.sendMessage(payload, bytes % 255), "ok");
        assertEquals(channel.waitReceive(360_000), "ready");
        assertEquals(channel.receiveMessage(), payload);
        assertEquals(channel.receiver.type, bytes % 255);
      }
    });
    assertEquals(code, 0);
  });

  Deno.test(`C that ${role}s: a stream each way, whole to the last byte`, async () => {
    const bytes = Uint8Array.from({ length: 3_000_001 }, (_, i) => (i * 2654435761) >>> 13);
    const sent = await withCPeer(role, ["receive"], async (channel) => {
      const result = await new Stream(channel).sendAsync(bytes, 360_000);
      assertEquals(result, { sent: bytes.length, outcome: "done" });
    });
    assertEquals(sent.code, 0);
    assertEquals(sent.output, bytes);
    const received = await withCPeer(role, ["send"], async (channel, peer) => {
      const input = new Response(bytes).body ?? new ReadableStream();
      const feeding = input.pipeTo(peer.stdin);
      const { readable } = webStreams(channel, 360_000);
      assertEquals(await new Response(readable).bytes(), bytes);
      await feeding;
    }, "piped");
    assertEquals(received.code, 0);
  });
}
