import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { Fault } from "../../../src/base/fault.ts";
import { connectProcessAsync } from "../../../src/rendezvous/process_connector.ts";
import { ProcessListener } from "../../../src/rendezvous/process_listener.ts";
import { channelPair, HANG_MS, runtimeDir } from "./channel_fixture.ts";

const LONG = { timeoutMs: HANG_MS };

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);
const bytes = (words: string): Uint8Array => new TextEncoder().encode(words);

Deno.test("a channel between two ends: messages both ways, goodbye told apart from silence", async () => {
  const before = openFdCount();
  {
    using dir = runtimeDir();
    const { listener, left, right } = await channelPair(dir.path);
    using _listener = listener;
    assertEquals([left.role, right.role], ["listener", "connector"]);
    assertEquals([left.remoteState(), right.remoteState()], ["connected", "connected"]);
    assertEquals(left.sendMessage(bytes("to the connector"), 7, 9), "ok");
    assertEquals(right.waitReceive(HANG_MS), "ready");
    assertEquals(text(right.receiveMessage()), "to the connector");
    assertEquals([right.receiver.type, right.receiver.flags], [7, 9]);
    assertEquals(right.receiveMessage(), undefined);
    assertEquals(right.waitReceive(20), "timed-out");
    right.sendMessage(bytes("and back"));
    assertEquals(right.disconnect(), "clean");
    assertEquals(left.waitReceive(HANG_MS), "ready", "what was sent before the goodbye is still there");
    assertEquals(text(left.receiveMessage()), "and back");
    assertEquals(left.waitReceive(HANG_MS), "closed");
    assertEquals(left.remoteState(), "disconnected");
    assertEquals(left.disconnect(), "clean");
    assertEquals(assertThrows(() => left.sendMessage(bytes("late")), Fault).code, "seam-down");
  }
  assertEquals(openFdCount(), before, "every descriptor is closed");
});

Deno.test("a sleeping end wakes for data and for room", async () => {
  using dir = runtimeDir();
  const { listener, left, right } = await channelPair(dir.path, { prodOrder: 0, consOrder: 0 });
  using _listener = listener;
  using _left = left;
  using _right = right;
  const woken = right.waitAsync("receive", HANG_MS);
  await new Promise((resolve) => setTimeout(resolve, 20));
  left.sendMessage(bytes("wake"));
  assertEquals(await woken, "ready");
  right.receiveMessage();
  const most = new Uint8Array(left.sender.maxPayloadBytes);
  while (left.sendMessage(most) === "ok") { /* until it is full */ }
  const room = left.waitAsync("send", HANG_MS);
  await new Promise((resolve) => setTimeout(resolve, 20));
  right.receiveMessage();
  assertEquals(await room, "ready");
  assertEquals(left.sendMessage(most), "ok");
});

Deno.test("the listener's disconnect waits for the connector, and no longer than told", async () => {
  using dir = runtimeDir();
  const first = await channelPair(dir.path);
  const bye = first.left.disconnectAsync(HANG_MS);
  assertEquals(await first.right.waitAsync("control", HANG_MS), "ready");
  assertEquals(first.right.remoteState(), "disconnecting");
  assertEquals(first.right.waitSend(0), "closed");
  first.right.disconnect();
  assertEquals(await bye, "clean");
  first.listener[Symbol.dispose]();

  const second = await channelPair(dir.path);
  assertEquals(await second.left.disconnectAsync(50), "timed-out");
  assertEquals(second.right.remoteState(), "disconnected");
  second.right.disconnect();
  second.listener[Symbol.dispose]();
});

Deno.test("nobody listens, a prefix in use, one connector too many, a bad prefix", async () => {
  using dir = runtimeDir();
  const code = async (attempt: Promise<unknown>): Promise<string> =>
    (await assertRejects(() => attempt, Fault)).code;
  assertEquals(await code(connectProcessAsync(dir.path, "nobody")), "no-endpoint");
  const { listener, left, right } = await channelPair(dir.path);
  assertEquals(assertThrows(() => new ProcessListener(dir.path, listener.prefix), Fault).code, "busy");
  // Who waits on a channel answers at its door meanwhile.
  const second = connectProcessAsync(dir.path, listener.prefix, LONG);
  const served = left.waitAsync("receive", HANG_MS);
  assertEquals(await code(second), "busy");
  right.sendMessage(bytes("undisturbed"));
  assertEquals(await served, "ready");
  for (const prefix of ["", "a/b", "..", ".hidden", "../x", "a\0b", "x".repeat(65), "a b"]) {
    assertEquals(await code(connectProcessAsync(dir.path, prefix)), "bad-argument", JSON.stringify(prefix));
    assertEquals(assertThrows(() => new ProcessListener(dir.path, prefix), Fault).code, "bad-argument");
  }
  for (const prodOrder of [9, -1, 1.5]) {
    assertEquals(
      assertThrows(() => new ProcessListener(dir.path, "p", { prodOrder }), Fault).code,
      "bad-argument",
    );
  }
  assertEquals(assertThrows(() => left.waitReceive(-1), Fault).code, "bad-argument");
  right.disconnect();
  left.disconnect();
  // The same listener takes the next, in a region of the next generation.
  const [again, other] = await Promise.all([
    listener.acceptAsync(HANG_MS),
    connectProcessAsync(dir.path, listener.prefix, LONG),
  ]);
  assertEquals([again.generation, other.generation], [left.generation + 1, left.generation + 1]);
  other[Symbol.dispose]();
  again[Symbol.dispose]();
  listener[Symbol.dispose]();
});

Deno.test("a user that is not admitted is told so", async () => {
  using dir = runtimeDir();
  using listener = new ProcessListener(dir.path, "closed", { rule: () => false });
  let isRefused = false;
  const accepting = (async () => {
    do {
      assertEquals((await assertRejects(() => listener.acceptAsync(100), Fault)).code, "timed-out");
    } while (!isRefused);
  })();
  const refused = await assertRejects(() => connectProcessAsync(dir.path, "closed", LONG), Fault);
  isRefused = true;
  assertEquals(refused.code, "not-admitted");
  await accepting;
  using open = new ProcessListener(dir.path, "open");
  const stranger = await assertRejects(
    () => connectProcessAsync(dir.path, "open", { ...LONG, rule: () => false }),
    Fault,
  );
  assertEquals(stranger.code, "not-admitted");
  assert(!open.prefix.includes("/"));
});

Deno.test("descriptors as events: readable when there is something, not when it was seen", async () => {
  using dir = runtimeDir();
  const { listener, left, right } = await channelPair(dir.path);
  using _listener = listener;
  using _left = left;
  using _right = right;
  const { Poller, IN } = await import("../../../ffi/poller.ts");
  using poller = new Poller();
  const fds = right.fds;
  assert(fds !== undefined);
  poller.add(fds.receive, IN, 1);
  poller.add(fds.control, IN, 2);
  while (right.getMessage()) right.receiver.finish(); // forgets the doorbells of the handshake
  assertEquals(poller.wait(0), 0);
  left.sendMessage(bytes("x"));
  assertEquals([poller.wait(1000), poller.tag(0)], [1, 1]);
  assert(right.getMessage());
  right.receiver.finish();
  assertEquals(right.getMessage(), false);
  assertEquals(poller.wait(0), 0, "seen: cleared");
  left.sendMessage(bytes("y"));
  assertEquals(poller.wait(1000), 1, "and armed again");
  left[Symbol.dispose]();
  poller.wait(1000);
  assertEquals(right.remoteState(), "disconnected");
});
