/**
 * The process of leak_test.ts: uses everything in ffi/ that opens something, and prints what is left over.
 * @module
 */
import { ReceiveBatch, SendBatch } from "../../../ffi/datagram.ts";
import { EventFd } from "../../../ffi/event_fd.ts";
import { INOTIFY, Inotify } from "../../../ffi/inotify.ts";
import { Mapping } from "../../../ffi/mapping.ts";
import { createMemfd, OPEN, reopen } from "../../../ffi/memfd.ts";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { IN, Poller } from "../../../ffi/poller.ts";
import { pidfdOpen } from "../../../ffi/signals.ts";
import { TimerFd } from "../../../ffi/timer_fd.ts";
import {
  acceptUnix,
  connectUnix,
  listenUnix,
  pipe,
  SOCKET,
  socketPair,
  unlinkSocket,
} from "../../../ffi/unix_socket.ts";
import { descriptorsOf, settled, untilNoMore } from "../../fixtures/holdings.ts";

const folder = Deno.args[0] ?? "";

/** Something that fails must not leave anything behind either. */
function mustThrow(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    if (error instanceof Error) return;
  }
  throw new Error("it was to fail");
}

function turn(): void {
  using poller = new Poller(4);
  using event = EventFd.create();
  using timer = TimerFd.create();
  using inotify = Inotify.create();
  inotify.watch(folder, INOTIFY.CREATE);
  poller.add(event.fd, IN, 1);
  timer.armAt(1);
  const path = `${folder}/leak.sock`;
  using listener = listenUnix(path, SOCKET.SEQPACKET);
  using client = connectUnix(path, SOCKET.SEQPACKET);
  using _server = acceptUnix(listener.fd);
  mustThrow(() => listenUnix(path, SOCKET.SEQPACKET));
  unlinkSocket(path);
  mustThrow(() => connectUnix(path, SOCKET.SEQPACKET));
  using file = createMemfd("leaked", 4096, { sealable: true });
  using _again = reopen(file.fd, OPEN.READ_ONLY);
  mustThrow(() => createMemfd("leaked", -1));
  using _mapping = Mapping.map(file.fd, 0, 4096, { write: true });
  const [near, far] = socketPair(SOCKET.SEQPACKET);
  using send = new SendBatch(2, 64, 8);
  using receive = new ReceiveBatch(2, 64, 8);
  send.begin();
  send.append(8, [file.fd, event.fd, client.fd]);
  if (send.send(near.fd) !== 1 || receive.receive(far.fd) !== 1) throw new Error("a packet got lost");
  for (const end of [near, far, ...pipe(), pidfdOpen(Deno.pid)]) end.close();
}

turn();
const [before, ownedBefore] = [await settled(() => descriptorsOf(Deno.pid)), openFdCount()];
for (let i = 0; i < 200; i++) turn();
// A socket that was received is closed by another thread.
await untilNoMore("descriptors that are left", before, () => descriptorsOf(Deno.pid));
const memfdMappings =
  Deno.readTextFileSync("/proc/self/maps").split("\n").filter((l) => l.includes("memfd:leaked")).length;
console.log(
  JSON.stringify({ owned: openFdCount() - ownedBefore, memfdMappings }),
);
