import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { dispatchEvents, messages } from "../../../src/v2v/channel_events.ts";
import { Stream } from "../../../src/v2v/stream.ts";
import { webStreams } from "../../../src/v2v/web_streams.ts";
import { channelPair, HANG_MS, runtimeDir } from "./channel_fixture.ts";

const numbers = (length: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length }, (_, i) => (i * 2654435761) >>> 11);

Deno.test("a stream receives what is there, in parts, and is closed only after the last byte", async () => {
  using dir = runtimeDir();
  const { listener, left, right } = await channelPair(dir.path);
  using _listener = listener;
  const out = new Stream(left), into = new Stream(right);
  assertEquals(out.send(numbers(1000), 100), { sent: 1000, outcome: "done" });
  const small = new Uint8Array(300), large = new Uint8Array(5000);
  assertEquals(into.receive(small, 100), { outcome: "data", received: 300 });
  assertEquals(small, numbers(1000).subarray(0, 300));
  assertEquals(into.receive(large, 100), { outcome: "data", received: 700 });
  assertEquals(large.subarray(0, 700), numbers(1000).subarray(300));
  assertEquals(into.receive(large, 10), { outcome: "timed-out", received: 0 });
  out.send(numbers(50), 100);
  left[Symbol.dispose]();
  assertEquals(into.receive(small.subarray(0, 20), 100).received, 20);
  assertEquals(into.receive(large, 100), { outcome: "data", received: 30 });
  assertEquals(into.receive(large, 100), { outcome: "closed", received: 0 });
  assertEquals(into.send(numbers(10), 100), { sent: 0, outcome: "closed" });
  right.disconnect();
});

Deno.test("two ends that both send more than all rings hold, and read only then", async () => {
  using dir = runtimeDir();
  const { listener, left, right } = await channelPair(dir.path, { prodOrder: 0, consOrder: 1 });
  using _listener = listener;
  using _left = left;
  using _right = right;
  const one = new Stream(left), two = new Stream(right);
  const bytes = numbers(2_000_000);
  let queued = 0;
  const exchange = async (stream: Stream): Promise<void> => {
    assertEquals((await stream.sendAsync(bytes, HANG_MS)).outcome, "done");
    queued += stream.queuedBytes;
    const all = new Uint8Array(bytes.length);
    for (let at = 0; at < all.length;) {
      const result = await stream.receiveAsync(all.subarray(at), HANG_MS);
      assertEquals(result.outcome, "data");
      at += result.received;
    }
    assertEquals(all, bytes);
  };
  await Promise.all([exchange(one), exchange(two)]);
  assert(queued > 1_000_000, "the rings alone could not have held it");
});

Deno.test("a reader that stalls costs the writer nothing but a retry, and a stream its timeout", async () => {
  using dir = runtimeDir();
  const { listener, left, right } = await channelPair(dir.path, { prodOrder: 0 });
  using _listener = listener;
  using _left = left;
  using _right = right;
  const payload = new Uint8Array(100);
  while (left.sendMessage(payload) === "ok") { /* fill it */ }
  for (let i = 0; i < 1000; i++) assertEquals(left.sendMessage(payload), "retry");
  assertEquals(left.waitSend(20), "timed-out");
  const stream = new Stream(left);
  const result = stream.send(payload, 20);
  assertEquals(result, { sent: 0, outcome: "timed-out" });
});

Deno.test("attach and detach", async () => {
  using dir = runtimeDir();
  const { listener, left, right } = await channelPair(dir.path);
  using _listener = listener;
  using _left = left;
  using _right = right;
  const stream = new Stream(left);
  assertEquals(assertThrows(() => new Stream(left), Fault).code, "busy");
  right.sendMessage(numbers(100), 1);
  right.sendMessage(numbers(50), 1);
  assertEquals(stream.receive(new Uint8Array(60), 100).received, 60);
  stream.detach();
  assertEquals(assertThrows(() => stream.receive(new Uint8Array(1), 0), Fault).code, "bad-argument");
  assertEquals(left.receiveMessage(), numbers(50), "what comes later shows as messages again");
  const again = new Stream(left);
  assertEquals(assertThrows(() => again.receive(new Uint8Array(0), 0), Fault).code, "bad-argument");
  right.sendMessage(numbers(10), 77);
  right.sendMessage(new Uint8Array(0), 1);
  right.sendMessage(numbers(20), 1);
  assertEquals(again.receive(new Uint8Array(99), 100), { outcome: "data", received: 20 });
  assertEquals(again.foreignMessages, 1);
});

Deno.test("Web streams: what pipes elsewhere pipes here, in both directions, with a half-close", async () => {
  using dir = runtimeDir();
  const { listener, left, right } = await channelPair(dir.path, { prodOrder: 2, consOrder: 2 });
  using _listener = listener;
  using _left = left;
  using _right = right;
  const near = webStreams(left, HANG_MS), far = webStreams(right, HANG_MS);
  const bytes = numbers(1_500_000);
  const echoing = far.readable.pipeTo(far.writable); // sends everything back, then closes
  const sending = new Response(bytes).body?.pipeTo(near.writable);
  assertEquals(await new Response(near.readable).bytes(), bytes);
  await Promise.all([echoing, sending]);
});

Deno.test("disconnect while the other end is sending: it stops, with a word", async () => {
  using dir = runtimeDir();
  const { listener, left, right } = await channelPair(dir.path, { prodOrder: 0, consOrder: 0 });
  using _listener = listener;
  const sending = new Stream(right).sendAsync(numbers(1_000_000), HANG_MS);
  await new Promise((resolve) => setTimeout(resolve, 20));
  left[Symbol.dispose]();
  assertEquals((await sending).outcome, "closed");
  right.disconnect();
});

Deno.test("asynchronous iteration and callbacks", async () => {
  using dir = runtimeDir();
  const { listener, left, right } = await channelPair(dir.path, { prodOrder: 0 });
  using _listener = listener;
  const got: string[] = [];
  const reading = (async () => {
    for await (const message of messages(right, HANG_MS)) {
      got.push(`${message.type}:${message.payload.length}`);
    }
  })();
  let room = 0, refused = 0, sent = 0;
  const events: string[] = [];
  const stop = new AbortController();
  const more = (): void => {
    while (sent < 100) {
      if (left.sendMessage(new Uint8Array(500), sent) === "retry") {
        refused++;
        return;
      }
      sent++;
    }
  };
  const dispatching = dispatchEvents(left, {
    onSend: () => {
      room++;
      more();
    },
    onReceive: () => events.push(`received ${left.receiveMessage()?.length}`),
    onControl: () => events.push(`state ${left.remoteState()}`),
  }, stop.signal);
  more();
  while (sent < 100) await new Promise((resolve) => setTimeout(resolve, 5));
  right.sendMessage(new Uint8Array(3));
  while (events.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  while (got.length < 100) await new Promise((resolve) => setTimeout(resolve, 5));
  right[Symbol.dispose]();
  await reading;
  await dispatching;
  left[Symbol.dispose]();
  assertEquals(got, Array.from({ length: 100 }, (_, i) => `${i}:500`));
  assertEquals(events, ["received 3", "state disconnected"]);
  assert(refused > 0 && room > 0, "the ring was full at least once");
});

Deno.test("iteration over the messages of an end that breaks the rules ends with its error", async () => {
  using dir = runtimeDir();
  const { listener, left, right } = await channelPair(dir.path);
  using _listener = listener;
  left.sendMessage(numbers(8));
  left.sendMessage(numbers(8));
  // The second message's size, as a hostile sender writes it.
  new Int32Array(left.region.buffer)[(0x2000 + 16 + 4) >> 2] = 0x7fff_ffff;
  const got: number[] = [];
  const reading = (async () => {
    for await (const message of messages(right, HANG_MS)) got.push(message.payload.length);
  })();
  assertEquals((await assertRejects(() => reading, Fault)).code, "protocol-error");
  assertEquals(got, [8]);
  assertEquals(left.remoteState(), "crashed", "the other end hears what became of the channel");
  assertEquals(right.waitReceive(HANG_MS), "closed");
  left[Symbol.dispose]();
  right[Symbol.dispose]();
});
