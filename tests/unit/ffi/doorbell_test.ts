import { assert, assertEquals } from "@std/assert";
import { closeForeign, Doorbell } from "../../../ffi/doorbell.ts";
import { EventFd } from "../../../ffi/event_fd.ts";
import { createMemfd } from "../../../ffi/memfd.ts";
import { openFdCount, OwnedFd } from "../../../ffi/owned_fd.ts";
import { IN, pollNow } from "../../../ffi/poller.ts";
import { shim } from "../../../ffi/shim.ts";
import { pipe } from "../../../ffi/unix_socket.ts";
import { until } from "../../fixtures/daemon_process.ts";
import "./loaded_shim.ts";

const F_SETFL = 4;
const O_RDWR = 2;
const FULL = [2 ** 63, 2 ** 63 - 1024, 1022]; // together 2^64 - 2

const libc = Deno.dlopen("libc.so.6", { fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" } });

/** What a peer that holds the same open file can do: from now on a plain write() or read() may sleep. */
function makeBlocking(fd: number): void {
  assertEquals(libc.symbols.fcntl(fd, F_SETFL, O_RDWR), 0);
}

function fill(fd: number): void {
  using event = EventFd.borrow(fd);
  for (const part of FULL) event.signal(part);
}

function countOf(fd: number): number {
  using event = EventFd.borrow(fd);
  return event.drain();
}

Deno.test("a doorbell that was rung is readable until it is hushed", () => {
  using bell = Doorbell.create();
  assertEquals(pollNow(bell.fd, IN), 0);
  assert(bell.ring() && bell.ring());
  assertEquals(pollNow(bell.fd, IN), IN);
  assertEquals(countOf(bell.fd), 2);
  assert(bell.ring());
  bell.hush();
  assertEquals(pollNow(bell.fd, IN), 0);
});

Deno.test("a full doorbell that blocks is told, and neither ringing nor hushing waits", () => {
  using bell = Doorbell.create();
  fill(bell.fd);
  makeBlocking(bell.fd);
  assertEquals([bell.ring(), bell.ring()], [false, false]);
  bell.hush();
  bell.hush(); // empty now: a read() would sleep
  assert(bell.ring(), "room again");
  assertEquals(countOf(bell.fd), 1);
});

Deno.test("the other way to ring, where the kernel offers no asynchronous poll, does the same", () => {
  const ring = (fd: number): number => shim().vmsig_bell_ring_timed(fd);
  using bell = Doorbell.create();
  makeBlocking(bell.fd);
  assertEquals([ring(bell.fd), ring(bell.fd)], [1, 1]);
  assertEquals(countOf(bell.fd), 2);
  using full = Doorbell.create();
  fill(full.fd);
  makeBlocking(full.fd);
  assertEquals(ring(full.fd), 0);
  const closed = Doorbell.create();
  const number = closed.fd;
  closed[Symbol.dispose]();
  assertEquals(ring(number), -9);
});

Deno.test("a doorbell between others: many are rung, and each hears its own", () => {
  const bells = Doorbell.createAll(8);
  for (let i = 0; i < 1000; i++) assert(bells[i % 8]?.ring());
  assertEquals(bells.map((bell) => countOf(bell.fd)), Array(8).fill(125));
  for (const bell of bells) bell[Symbol.dispose]();
});

Deno.test("only an eventfd is taken for a doorbell; the rest is closed elsewhere", async () => {
  const before = openFdCount();
  const others = [...pipe(), createMemfd("anon_inode:[eventfd]", 4096)];
  for (const other of others) assertEquals(Doorbell.receive(other), undefined);
  const numbers = others.map((other) => other.fd);
  for (const other of others) closeForeign(other);
  assertEquals(openFdCount(), before);
  const isOpen = (fd: number): boolean => libc.symbols.fcntl(fd, 1, 0) >= 0; // F_GETFD
  await until("all are closed", () => !numbers.some(isOpen));
  using made = Doorbell.create();
  using received = Doorbell.receive(new OwnedFd(dup(made.fd)));
  assert(received?.ring());
  assertEquals(countOf(made.fd), 1);
});

function dup(fd: number): number {
  return shim().vmsig_dup(fd, 0);
}
