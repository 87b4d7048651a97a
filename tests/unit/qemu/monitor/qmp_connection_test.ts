/**
 * Commands over a socket that takes nothing at first: what goes out, in which order, and whose descriptors
 * are closed when.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { ReceiveBatch } from "../../../../ffi/datagram.ts";
import { createMemfd, statFd } from "../../../../ffi/memfd.ts";
import { closeFd, openFdCount } from "../../../../ffi/owned_fd.ts";
import { OUT } from "../../../../ffi/poller.ts";
import { setSendBufferBytes, SOCKET, socketPair } from "../../../../ffi/unix_socket.ts";
import { QmpConnection } from "../../../../src/qemu/monitor/qmp_connection.ts";
import { SentDescriptors } from "../../../../src/qemu/monitor/sent_descriptors.ts";
import { NEVER } from "../../../../src/base/clock.ts";
import type { MonitorLoop } from "../../../../src/qemu/monitor/monitor_loop.ts";
import { UnixTransport } from "../../../../src/qemu/monitor/unix_transport.ts";

/** A loop of which only the watched events matter. */
function loopThat(watches: (events: number) => void): MonitorLoop {
  return {
    clock: { nowNs: () => NEVER },
    watch: (_fd, events) => watches(events),
    rewatch: (_fd, events) => watches(events),
    unwatch: () => {},
    arm: () => {},
    disarm: () => {},
  };
}

function command(fill: string, bytes: number): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(fill.repeat(bytes));
}

Deno.test("a command that waits for room keeps copies of its descriptors, and sends them with its first byte", () => {
  const before = openFdCount();
  let watched = 0;
  const [near, far] = socketPair(SOCKET.STREAM);
  setSendBufferBytes(near.fd, 4096);
  const connection = new QmpConnection(near, loopThat((events) => watched = events), {
    onBytes: () => {},
    onEnd: () => {},
  });
  connection.sendCommand(command("a", 65_536), 65_536, null);
  assert((watched & OUT) !== 0, "it waits for room");
  const held = openFdCount();
  for (const size of [11, 22]) {
    using file = createMemfd("vmsig-t", size);
    connection.sendCommand(
      command("b", size),
      size,
      SentDescriptors.copyFor(new UnixTransport("/x"), [file.fd]),
    );
  }
  assertEquals(openFdCount(), held + 2, "the copies");
  using batch = new ReceiveBatch(1, 4096, 4);
  let text = "";
  const sizes: number[] = [];
  while (text.length < 65_536 + 33) {
    const frames = batch.receive(far.fd);
    for (let i = 0; i < frames; i++) {
      text += new TextDecoder().decode(batch.bytes.subarray(0, batch.length(i)));
      for (let k = 0; k < batch.fdCount(i); k++) {
        const fd = batch.takeFd(i, k);
        sizes.push(statFd(fd).sizeBytes);
        closeFd(fd);
      }
    }
    connection.onReady(OUT);
  }
  assertEquals(text, "a".repeat(65_536) + "b".repeat(33));
  assertEquals(sizes, [11, 22]);
  assertEquals([openFdCount(), watched & OUT], [held, 0], "the copies are closed");
  connection.close();
  far.close();
  assertEquals(openFdCount(), before);
});

Deno.test("a connection that ends closes what waits, and takes no more", () => {
  const before = openFdCount();
  using file = createMemfd("vmsig-t", 1);
  for (const ends of ["it is closed", "its peer goes"]) {
    const [near, far] = socketPair(SOCKET.STREAM);
    setSendBufferBytes(near.fd, 4096);
    const connection = new QmpConnection(near, loopThat(() => {}), { onBytes: () => {}, onEnd: () => {} });
    connection.sendCommand(command("a", 65_536), 65_536, null);
    connection.sendCommand(command("b", 5), 5, SentDescriptors.copyFor(new UnixTransport("/x"), [file.fd]));
    if (ends === "its peer goes") {
      far.close();
      connection.onReady(OUT);
    } else connection.close();
    assertEquals(openFdCount(), before + 2, `${ends}: the file and the open end are left`);
    connection.close();
    connection.sendCommand(command("b", 5), 5, SentDescriptors.copyFor(new UnixTransport("/x"), [file.fd]));
    far.close();
    assertEquals(openFdCount(), before + 1, ends);
  }
});
