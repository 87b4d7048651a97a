/**
 * The bare sides of the NATS benchmarks, in a process of its own: answers requests with bytes of the same
 * size (`relay`: after a round trip over a unix socket to a process and back), publishes messages as fast as
 * the library lets it, and stands for hosts that put their entries.
 *
 *   deno run -A tests/bench/nats_peer.ts echo|relay|publish|feed|hosts URL CREDS USER …
 */
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";
import { ReceiveBatch, sendOne } from "../../ffi/datagram.ts";
import { IN, Poller } from "../../ffi/poller.ts";
import { MAX_FRAME_BYTES } from "../../src/base/limits.ts";
import { openSocket } from "../../src/client/open_socket.ts";
import type { EndpointId } from "../../src/base/ids.ts";
import { KIND } from "../../src/event/kind.ts";
import { ALL_SOURCES, SOURCE } from "../../src/event/source.ts";
import { JoinCounts } from "../../src/nats/join/counts.ts";
import { EventFeed } from "../../src/nats/join/event_feed.ts";
import { EventNumbers } from "../../src/nats/join/event_numbers.ts";
import type { HostView } from "../../src/nats/join/host_view.ts";
import type { LocalBus } from "../../src/nats/join/local_bus.ts";
import { OutQueue } from "../../src/nats/join/out_queue.ts";
import { madeFrame } from "../../src/nats/wire/made_frames.ts";
import { NatsLink } from "../../src/nats/wire/nats_link.ts";
import { FRAME } from "../../src/protocol/frame.ts";
import { writeHostEntry } from "../../src/nats/wire/host_entry.ts";
import { token } from "../../src/nats/wire/subjects.ts";

const [what, servers = "", creds = "", user = "", ...more] = Deno.args;
const seed = new TextEncoder().encode(Deno.readTextFileSync(creds).trim());
const nc = await connect({ servers, authenticator: nkeyAuthenticator(seed), inboxPrefix: `_INBOX.${user}` });

if (what === "echo") {
  const answer = new Uint8Array(120);
  nc.subscribe("vmsig.bench.req.>", { callback: (_error, message) => void message.respond(answer) });
  await nc.flush();
  console.log("ready");
  await nc.closed();
} else if (what === "relay") {
  const path = `${creds}.sock`;
  const pong = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", new URL("./socket_pong.ts", import.meta.url).pathname, path],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  await pong.stdout.getReader().read();
  const socket = await openSocket(path, 5000);
  const batch = new ReceiveBatch(32, MAX_FRAME_BYTES, 8);
  const poller = new Poller(1);
  poller.add(socket.fd, IN, 1);
  const sent = new Uint8Array(96);
  const answer = new Uint8Array(120);
  nc.subscribe("vmsig.bench.relay.>", {
    callback: (_error, message) => {
      sendOne(socket.fd, sent, 0, sent.length);
      // As join waits: at once for a moment, and by a thread after that.
      const untilMs = performance.now() + 0.1;
      let frames = 0;
      do frames = batch.receive(socket.fd); while (frames === 0 && performance.now() < untilMs);
      if (frames > 0) return void message.respond(answer);
      void poller.waitAsync(-1).then(() => {
        batch.receive(socket.fd);
        message.respond(answer);
      });
    },
  });
  await nc.flush();
  console.log("ready");
  await nc.closed();
} else if (what === "publish") {
  const [count, bytes] = more.map(Number) as [number, number];
  const payload = new Uint8Array(bytes);
  console.log("ready");
  for await (const _line of Deno.stdin.readable) {
    for (let i = 0; i < count; i++) {
      nc.publish("vmsig.bench.stub0.FRAME.VGPU_STATUS", payload);
      if (i % 512 === 511) await nc.flush();
    }
    await nc.flush();
  }
} else if (what === "feed") {
  const [count] = more.map(Number) as [number];
  const link = await NatsLink.open({ url: servers, creds, as: user }, "feed");
  const numbers = new EventNumbers("bench");
  const queue = new OutQueue(link, numbers.outlet("-", "CORE", "OVERRUN"), new JoinCounts());
  const view = { place: () => ({ token: "stub0", life: 1, name: "stub0" }) } as unknown as HostView;
  const flows = { link: () => Promise.resolve({ close: () => Promise.resolve() }) } as unknown as LocalBus;
  const feed = new EventFeed({
    ...{ numbers, bus: flows, view, queue, allowed: ALL_SOURCES },
    onOverrun: () => {},
  });
  await feed.want(ALL_SOURCES);
  const frame = madeFrame({ kind: KIND.VGPU_STATUS, endpoint: 0 as EndpointId }, () => {});
  frame[FRAME.source] = SOURCE.FRAME;
  const received = new DataView(frame.buffer);
  console.log("ready");
  for await (const _line of Deno.stdin.readable) {
    for (let i = 0; i < count; i++) {
      received.setUint32(FRAME.inline, i + 1, true);
      feed.onFrame(received, frame, 0, frame.length);
      // As the bare side does.
      if (i % 512 === 511) await link.flush();
      while (queue.waiting > 4096) await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }
} else if (what === "hosts") {
  const [count, beatMs] = more.map(Number) as [number, number];
  const entryOf = (i: number, state: string) =>
    writeHostEntry({
      ...{ v: 1, vmsig: "0.1.0", host: `sim${i}`, run: "r", machine: "m", pid: i, isUp: true },
      endpoints: Array.from({ length: 16 }, (_, k) => ({
        ...{
          endpoint: k as EndpointId,
          life: 1,
          name: `vm${k}`,
          state,
          seams: ["frame", "input", "vmhost", "memctx"],
        },
        ...{ pid: 1000 + k, vmid: 0, run: "running", display: "vram", leases: {} },
      })),
    });
  const put = (i: number, state = "up") =>
    nc.publish(`$KV.vmsig_roster.${token(`sim${i}`)}`, entryOf(i, state));
  for (let i = 0; i < count; i++) put(i);
  await nc.flush();
  console.log("ready");
  let next = 0;
  setInterval(() => put(next = (next + 1) % count), beatMs / count);
  for await (const line of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    for (const word of line.trim().split("\n")) put(Number(word), "down");
  }
}
