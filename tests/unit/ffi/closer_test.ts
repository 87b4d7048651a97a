/**
 * What may be closed at once and what is closed elsewhere: with a TCP socket that lingers, whose close waits.
 */
import "./loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { ReceiveBatch, sendOne } from "../../../ffi/datagram.ts";
import { createMemfd } from "../../../ffi/memfd.ts";
import { closeConnection, closeForeignFd } from "../../../ffi/owned_fd.ts";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import { until } from "../../fixtures/daemon_process.ts";

/** What a descriptor is now; "" when it is closed. Its number may be another thread's by then. */
function linkOf(fd: number): string {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${fd}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

/** Tells whether a descriptor is still what it is now. */
function watched(fd: number): () => boolean {
  const link = linkOf(fd);
  return () => linkOf(fd) === link;
}

Deno.test("a memfd and a connection without descriptors in it are closed at once", () => {
  const memory = createMemfd(`closer-${crypto.randomUUID()}`, 4096, { sealable: true }).release();
  const hasMemory = watched(memory);
  closeForeignFd(memory);
  assert(!hasMemory());
  const [near, far] = socketPair(SOCKET.SEQPACKET);
  for (let i = 0; i < 5; i++) sendOne(near.fd, new Uint8Array(i), 0, i);
  sendOne(far.fd, new Uint8Array([1, 2, 3]), 0, 3);
  const number = far.release();
  const hasConnection = watched(number);
  closeConnection(number);
  assert(!hasConnection());
  using receive = new ReceiveBatch(4, 16, 0);
  assertEquals(receive.receive(near.fd), 1, "what was said last is heard");
  assertEquals(receive.length(0), 3);
  near.close();
});

Deno.test("a connection with descriptors in it, and a foreign socket, are closed soon", async () => {
  const [near, far] = socketPair(SOCKET.SEQPACKET);
  sendOne(near.fd, new Uint8Array(1), 0, 1, [near.fd]);
  const [other, foreign] = socketPair(SOCKET.STREAM);
  const numbers = [far.release(), foreign.release()];
  const open = numbers.map(watched);
  closeConnection(numbers[0]!);
  closeForeignFd(numbers[1]!);
  await until("both are closed", () => open.every((isOpen) => !isOpen()));
  near.close();
  other.close();
});

Deno.test("a foreign descriptor is only closed: what it is open on is not shut down, nor read from", async () => {
  const [near, far] = socketPair(SOCKET.SEQPACKET);
  const copy = near.dup().release();
  const isOpen = watched(copy);
  sendOne(far.fd, new Uint8Array([1, 2, 3]), 0, 3);
  closeForeignFd(copy);
  // Its number may be something else's by then; the link tells.
  await until("the copy is closed", () => !isOpen());
  sendOne(far.fd, new Uint8Array([4]), 0, 1);
  using receive = new ReceiveBatch(4, 16, 0);
  assertEquals(receive.receive(near.fd), 2, "both packets are there for whose they are");
  assertEquals([receive.length(0), receive.length(1)], [3, 1]);
  near.close();
  far.close();
});

Deno.test("heaps of them are closed, too", async () => {
  const numbers: number[] = [];
  for (let i = 0; i < 200; i++) {
    const [near, far] = socketPair(SOCKET.SEQPACKET);
    sendOne(near.fd, new Uint8Array(1), 0, 1, [near.fd]);
    numbers.push(far.release());
    near.close();
  }
  const open = numbers.map(watched);
  for (const fd of numbers) closeConnection(fd);
  await until("all are closed", () => open.every((isOpen) => !isOpen()));
});
