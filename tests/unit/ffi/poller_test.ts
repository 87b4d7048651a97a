import { assert, assertEquals, assertThrows } from "@std/assert";
import { AssertionFault } from "../../../src/base/assert.ts";
import { MS } from "../../../src/base/clock.ts";
import { monotonicClock } from "../../../ffi/clock.ts";
import { EventFd } from "../../../ffi/event_fd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { HUP, IN, OUT, Poller, pollNow, RDHUP } from "../../../ffi/poller.ts";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import "./loaded_shim.ts";

Deno.test("a wait gives tags and events of what is ready, and only that", () => {
  using poller = new Poller();
  using first = EventFd.create();
  using second = EventFd.create();
  poller.add(first.fd, IN, 11);
  poller.add(second.fd, IN, 0xffff_fff0);
  assertEquals(poller.wait(0), 0);
  second.signal();
  assertEquals(poller.wait(-1), 1);
  assertEquals(poller.tag(0), 0xffff_fff0);
  assertEquals(poller.events(0), IN);
  first.signal();
  assertEquals(poller.wait(-1), 2);
  assertEquals([poller.tag(0), poller.tag(1)].sort((a, b) => a - b), [11, 0xffff_fff0]);
});

Deno.test("modify changes mask and tag, remove ends it", () => {
  using poller = new Poller();
  using event = EventFd.create();
  poller.add(event.fd, IN, 1);
  poller.modify(event.fd, IN | OUT, 2);
  assertEquals(poller.wait(0), 1);
  assertEquals([poller.tag(0), poller.events(0)], [2, OUT]);
  event.signal();
  assertEquals(poller.wait(0), 1);
  assertEquals(poller.events(0), IN | OUT);
  poller.remove(event.fd);
  assertEquals(poller.wait(0), 0);
  assertThrows(() => poller.remove(event.fd), OsError, "ENOENT");
});

Deno.test("more events than fit come with the next wait", () => {
  using poller = new Poller(2);
  const events = [1, 2, 3].map(() => EventFd.create());
  events.forEach((event, i) => {
    poller.add(event.fd, IN, i);
    event.signal();
  });
  const seen = new Set<number>();
  for (let turn = 0; turn < 2; turn++) {
    const n = poller.wait(0);
    assert(n <= 2);
    for (let i = 0; i < n; i++) {
      seen.add(poller.tag(i));
      events[poller.tag(i)]?.drain();
    }
  }
  assertEquals([...seen].sort(), [0, 1, 2]);
  for (const event of events) event[Symbol.dispose]();
});

Deno.test("a peer that goes is told as HUP", () => {
  using poller = new Poller();
  const [near, far] = socketPair(SOCKET.SEQPACKET);
  poller.add(near.fd, IN | RDHUP, 5);
  far.close();
  assertEquals(poller.wait(-1), 1);
  assertEquals(poller.events(0), IN | RDHUP | HUP);
  near.close();
});

Deno.test("a wait in ns waits no shorter, and says 0", () => {
  using poller = new Poller();
  for (const ns of [0, 100_000, 2 * MS]) {
    const start = monotonicClock.nowNs();
    assertEquals(poller.waitNs(ns), 0);
    assert(monotonicClock.nowNs() - start >= ns);
  }
  using event = EventFd.create();
  poller.add(event.fd, IN, 3);
  event.signal();
  assertEquals(poller.waitNs(Infinity), 1);
  assertEquals(poller.waitNs(-5), 1);
});

Deno.test("an asynchronous wait leaves the thread free", async () => {
  using poller = new Poller();
  using event = EventFd.create();
  poller.add(event.fd, IN, 9);
  const waiting = poller.waitAsync(-1);
  assertThrows(() => poller[Symbol.dispose](), AssertionFault);
  event.signal();
  assertEquals(await waiting, 1);
  assertEquals(poller.tag(0), 9);
});

Deno.test("only one asynchronous wait at a time", async () => {
  using poller = new Poller();
  using event = EventFd.create();
  poller.add(event.fd, IN, 9);
  const waiting = poller.waitAsync(-1);
  let refused: unknown;
  await poller.waitAsync(0).catch((error) => refused = error);
  assert(refused instanceof AssertionFault);
  event.signal();
  assertEquals(await waiting, 1);
});

Deno.test("a poller that was disposed of refuses", () => {
  const poller = new Poller();
  poller[Symbol.dispose]();
  assertThrows(() => poller.wait(0), OsError, "EBADF");
  assertThrows(() => poller.add(0, IN, 1), AssertionFault);
});

Deno.test("pollNow tells what holds at this moment, asked for or not when the peer is gone", () => {
  const [one, other] = socketPair(SOCKET.STREAM);
  assertEquals([pollNow(one.fd, IN | OUT), pollNow(one.fd, IN | RDHUP)], [OUT, 0]);
  other.close();
  assertEquals(pollNow(one.fd, 0), HUP);
  assertEquals(pollNow(one.fd, RDHUP), HUP | RDHUP);
  one.close();
});
