import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { AssertionFault } from "../../../src/base/assert.ts";
import { isPeerGone, ReceiveBatch, SendBatch, sendOne } from "../../../ffi/datagram.ts";
import { EventFd } from "../../../ffi/event_fd.ts";
import { createMemfd, statFd } from "../../../ffi/memfd.ts";
import { ERRNO, OsError } from "../../../ffi/os_error.ts";
import { closeFd, type OwnedFd } from "../../../ffi/owned_fd.ts";
import { setSendBufferBytes, SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import { CountedFile } from "./held_descriptors.ts";
import "./loaded_shim.ts";

function withPair(use: (near: OwnedFd, far: OwnedFd) => void): () => void {
  return () => {
    const [near, far] = socketPair(SOCKET.SEQPACKET);
    using _near = near;
    using _far = far;
    use(near, far);
  };
}

function bytesOf(batch: ReceiveBatch, i: number): number[] {
  return [...batch.bytes.subarray(batch.offset(i), batch.offset(i) + batch.length(i))];
}

Deno.test(
  "frames come as they were sent, in order, each for itself",
  withPair((near, far) => {
    using send = new SendBatch(4, 64, 0);
    using receive = new ReceiveBatch(8, 64, 0);
    send.begin();
    for (let i = 0; i < 4; i++) {
      send.bytes.fill(i + 1, send.offset(), send.offset() + i + 1);
      send.append(i + 1);
    }
    assert(send.full);
    assertEquals([send.send(near.fd), send.pending, send.count], [4, 0, 4]);
    assertEquals(send.send(near.fd), 0);
    assert(!send.closed);
    assertEquals(receive.receive(far.fd), 4);
    for (let i = 0; i < 4; i++) assertEquals(bytesOf(receive, i), Array(i + 1).fill(i + 1));
    assertEquals(receive.receive(far.fd), 0);
    assert(receive.wouldBlock && !receive.closed);
  }),
);

Deno.test(
  "a receive takes no more than the batch holds; the rest waits",
  withPair((near, far) => {
    using receive = new ReceiveBatch(2, 16, 0);
    for (let i = 1; i <= 3; i++) assertEquals(sendOne(near.fd, new Uint8Array([0, i]), 1, 1), 1);
    assertEquals(receive.receive(far.fd), 2);
    assertEquals([bytesOf(receive, 0), bytesOf(receive, 1)], [[1], [2]]);
    assertEquals(receive.receive(far.fd), 1);
    assertEquals(bytesOf(receive, 0), [3]);
  }),
);

Deno.test(
  "descriptors go both ways, with their frame, and are the same files",
  withPair((near, far) => {
    const file = createMemfd("passed", 4321);
    const event = EventFd.create();
    const ino = statFd(file.fd).ino;
    for (const [from, to] of [[near, far], [far, near]] as const) {
      using send = new SendBatch(3, 16, 3);
      using receive = new ReceiveBatch(3, 16, 3);
      send.begin();
      send.append(1);
      send.append(2, [file.fd, event.fd]);
      send.append(3, new Int32Array([file.fd]));
      assertEquals(send.send(from.fd), 3);
      assertEquals(receive.receive(to.fd), 3);
      assertEquals([0, 1, 2].map((i) => receive.fdCount(i)), [0, 2, 1]);
      const taken = receive.takeFd(1, 0);
      assertNotEquals(taken, file.fd);
      assertEquals(statFd(taken), statFd(file.fd));
      assertEquals(statFd(taken).ino, ino);
      closeFd(taken);
      const received = receive.takeFd(1, 1);
      event.signal(6);
      assertEquals(EventFd.borrow(received).drain(), 6);
      closeFd(received);
      const flags = Deno.readTextFileSync(`/proc/self/fdinfo/${receive.takeFd(2, 0)}`);
      assert(/^flags:\s*0?2[0-7]{6}$/m.test(flags), `close-on-exec: ${flags}`);
      assertThrows(() => receive.takeFd(2, 0), AssertionFault);
      assertThrows(() => receive.takeFd(0, 0), AssertionFault);
    }
    file.close();
    event[Symbol.dispose]();
  }),
);

Deno.test(
  "descriptors that nobody takes are closed by the next receive, by closeFds and with the batch",
  withPair((near, far) => {
    using counted = new CountedFile();
    const receive = new ReceiveBatch(2, 16, 2);
    const ways = [() => receive.receive(far.fd), () => receive.closeFds(), () => receive[Symbol.dispose]()];
    for (const letGo of ways) {
      sendOne(near.fd, new Uint8Array(8), 0, 8, [counted.file.fd, counted.file.fd]);
      assertEquals(receive.receive(far.fd), 1);
      assertEquals(counted.held, 3);
      letGo();
      assertEquals(counted.held, 1);
    }
  }),
);

Deno.test(
  "more descriptors than fit: the frame says so, and the rest does not leak in",
  withPair((near, far) => {
    using counted = new CountedFile();
    for (const room of [0, 1, 3]) {
      using receive = new ReceiveBatch(1, 16, room);
      sendOne(near.fd, new Uint8Array(1), 0, 1, Array(5).fill(counted.file.fd));
      assertEquals(receive.receive(far.fd), 1);
      assert(receive.fdsTruncated(0));
      assertEquals(receive.fdCount(0), room);
      assertEquals(counted.held, 1 + room);
    }
  }),
);

Deno.test(
  "a packet longer than a frame is cut, and says so",
  withPair((near, far) => {
    using receive = new ReceiveBatch(2, 4, 0);
    sendOne(near.fd, new Uint8Array([1, 2, 3, 4, 5]), 0, 5);
    sendOne(near.fd, new Uint8Array([6]), 0, 1);
    assertEquals(receive.receive(far.fd), 2);
    assertEquals(receive.truncated(0), true);
    assertEquals(bytesOf(receive, 0), [1, 2, 3, 4]);
    assertEquals(receive.truncated(1), false);
    assertEquals(bytesOf(receive, 1), [6]);
  }),
);

Deno.test(
  "a full socket takes what fits; the rest goes later, nothing twice",
  withPair((near, far) => {
    setSendBufferBytes(near.fd, 8192);
    using send = new SendBatch(64, 1024, 0);
    using receive = new ReceiveBatch(64, 1024, 0);
    send.begin();
    for (let i = 0; i < 64; i++) {
      send.bytes[send.offset()] = i;
      send.append(1000);
    }
    const seen: number[] = [];
    let stalls = 0;
    while (send.pending > 0) {
      const n = send.send(near.fd);
      if (n > 0) continue;
      assert(!send.closed);
      stalls++;
      const got = receive.receive(far.fd);
      assert(got > 0, "a full socket has something to read");
      for (let i = 0; i < got; i++) seen.push(receive.bytes[receive.offset(i)] ?? -1);
    }
    const got = receive.receive(far.fd);
    for (let i = 0; i < got; i++) seen.push(receive.bytes[receive.offset(i)] ?? -1);
    assert(stalls > 1);
    assertEquals(seen, Array.from({ length: 64 }, (_, i) => i));
    const packet = new Uint8Array(4000);
    let result = 0;
    while ((result = sendOne(near.fd, packet, 0, packet.length)) > 0);
    assertEquals(result, -ERRNO.EAGAIN);
  }),
);

Deno.test(
  "what came before the peer went is received, then the end",
  withPair((near, far) => {
    using receive = new ReceiveBatch(8, 16, 1);
    const file = createMemfd("last", 1);
    sendOne(near.fd, new Uint8Array([7]), 0, 1, [file.fd]);
    sendOne(near.fd, new Uint8Array([8, 9]), 0, 2);
    near.close();
    assertEquals(receive.receive(far.fd), 2);
    assert(receive.closed);
    assertEquals([bytesOf(receive, 0), bytesOf(receive, 1)], [[7], [8, 9]]);
    closeFd(receive.takeFd(0, 0));
    assertEquals(receive.receive(far.fd), 0);
    assert(receive.closed && !receive.wouldBlock);
    file.close();
  }),
);

Deno.test(
  "sending to a peer that is gone is an answer, not an error, and no SIGPIPE",
  withPair((near, far) => {
    far.close();
    const result = sendOne(near.fd, new Uint8Array(4), 0, 4);
    assert(isPeerGone(result), `${result}`);
    assert(isPeerGone(sendOne(near.fd, new Uint8Array(4), 0, 4, [near.fd])));
    using send = new SendBatch(2, 16, 0);
    send.begin();
    send.append(4);
    assertEquals(send.send(near.fd), 0);
    assert(send.closed);
    assertEquals(send.pending, 1);
  }),
);

Deno.test(
  "a peer that leaves with something of ours unread resets: closed",
  withPair((near, far) => {
    using receive = new ReceiveBatch(2, 16, 0);
    sendOne(near.fd, new Uint8Array(4), 0, 4);
    far.close();
    assertEquals(receive.receive(near.fd), 0);
    assert(receive.closed);
  }),
);

Deno.test(
  "an empty packet counts as the end, and what it brought does not leak",
  withPair((near, far) => {
    using counted = new CountedFile();
    using receive = new ReceiveBatch(4, 16, 2);
    sendOne(near.fd, new Uint8Array(1), 0, 1);
    sendOne(near.fd, new Uint8Array(0), 0, 0, [counted.file.fd]);
    sendOne(near.fd, new Uint8Array(1), 0, 1, [counted.file.fd]);
    assertEquals(receive.receive(far.fd), 1);
    assert(receive.closed);
    assertEquals(counted.held, 3);
    receive.closeFds();
    assertEquals(counted.held, 1);
  }),
);

Deno.test("errors that are nobody's expectation are thrown", () => {
  using receive = new ReceiveBatch(1, 16, 0);
  assertThrows(() => receive.receive(1_000_000), OsError, "EBADF");
  const file = createMemfd("no socket", 1);
  assertThrows(() => receive.receive(file.fd), OsError, "ENOTSOCK");
  using send = new SendBatch(1, 16, 1);
  send.begin();
  send.append(1);
  assertThrows(() => send.send(file.fd), OsError, "ENOTSOCK");
  file.close();
});

Deno.test(
  "a frame larger than the socket can take, and a closed descriptor in a frame, are thrown",
  withPair((near) => {
    setSendBufferBytes(near.fd, 4608);
    const packet = new Uint8Array(100_000);
    const error = assertThrows(() => sendOne(near.fd, packet, 0, packet.length), OsError, "EMSGSIZE");
    assertEquals(error.code, "too-large");
    assertThrows(() => sendOne(near.fd, packet, 0, 1, [1_000_000]), OsError, "EBADF");
  }),
);

Deno.test("our own mistakes are asserted", () => {
  using send = new SendBatch(1, 16, 1);
  send.begin();
  assertThrows(() => send.append(17), AssertionFault);
  assertThrows(() => send.append(0), AssertionFault);
  assertThrows(() => send.append(1, [1, 2]), AssertionFault);
  send.append(16);
  assertThrows(() => send.append(1), AssertionFault);
  assertThrows(() => sendOne(0, new Uint8Array(4), 2, 3), RangeError);
  assertThrows(() => sendOne(0, new Uint8Array(4), -1, 3), RangeError);
  assertThrows(() => new ReceiveBatch(0, 16, 0), OsError);
  assertThrows(() => new ReceiveBatch(1, 16, 254), OsError);
  const gone = new ReceiveBatch(1, 16, 0);
  gone[Symbol.dispose]();
  assertThrows(() => gone.receive(0), AssertionFault);
  const sender = new SendBatch(1, 16, 0);
  sender[Symbol.dispose]();
  assertThrows(() => sender.send(0), AssertionFault);
});

Deno.test("a batch reads a stream too, descriptors included", () => {
  const [near, far] = socketPair(SOCKET.STREAM);
  const file = createMemfd("stream", 77);
  using receive = new ReceiveBatch(1, 64, 2);
  assertEquals(sendOne(near.fd, new Uint8Array([1, 2]), 0, 2), 2);
  assertEquals(sendOne(near.fd, new Uint8Array([3]), 0, 1, [file.fd]), 1);
  const got: number[] = [];
  let fds = 0;
  while (receive.receive(far.fd) > 0) {
    got.push(...bytesOf(receive, 0));
    for (let k = 0; k < receive.fdCount(0); k++, fds++) {
      const fd = receive.takeFd(0, k);
      assertEquals(statFd(fd).sizeBytes, 77);
      closeFd(fd);
    }
  }
  assert(receive.wouldBlock);
  assertEquals([got, fds], [[1, 2, 3], 1]);
  near.close();
  assertEquals(receive.receive(far.fd), 0);
  assert(receive.closed);
  far.close();
  file.close();
});
