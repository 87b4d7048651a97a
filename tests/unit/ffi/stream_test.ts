import { assert, assertEquals, assertThrows } from "@std/assert";
import { createMemfd, reopen } from "../../../ffi/memfd.ts";
import { ERRNO, OsError } from "../../../ffi/os_error.ts";
import { preadInto, pwriteFrom, readInto, sendWithFds, writeFrom } from "../../../ffi/stream.ts";
import { pipe, SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import "./loaded_shim.ts";

Deno.test("reading: what is there, nothing yet, the end", () => {
  const [read, write] = pipe();
  const bytes = new Uint8Array(8);
  assertEquals(readInto(read.fd, bytes, 0, 8), -ERRNO.EAGAIN);
  assertEquals(writeFrom(write.fd, new Uint8Array([9, 1, 2, 3]), 1, 3), 3);
  assertEquals(readInto(read.fd, bytes, 2, 2), 2);
  assertEquals([...bytes], [0, 0, 1, 2, 0, 0, 0, 0]);
  assertEquals(readInto(read.fd, bytes, 0, 8), 1);
  write.close();
  assertEquals(readInto(read.fd, bytes, 0, 8), 0);
  read.close();
});

Deno.test("writing: as much as fits, then would-block, then the peer is gone", () => {
  const [read, write] = pipe();
  const bytes = new Uint8Array(1 << 20);
  const first = writeFrom(write.fd, bytes, 0, bytes.length);
  assert(first > 0 && first < bytes.length);
  assertEquals(writeFrom(write.fd, bytes, 0, bytes.length), -ERRNO.EAGAIN);
  read.close();
  assertEquals(writeFrom(write.fd, bytes, 0, 1), -ERRNO.EPIPE);
  write.close();
});

Deno.test("a stream whose peer left something of ours unread is reset", () => {
  const [near, far] = socketPair(SOCKET.STREAM);
  const bytes = new Uint8Array(4);
  assertEquals(writeFrom(near.fd, bytes, 0, 4), 4);
  far.close();
  assertEquals(readInto(near.fd, bytes, 0, 4), -ERRNO.ECONNRESET);
  assertEquals(writeFrom(near.fd, bytes, 0, 4), -ERRNO.EPIPE);
  near.close();
});

Deno.test("pread and pwrite leave the position alone", () => {
  const file = createMemfd("positions", 16);
  const bytes = new Uint8Array([1, 2, 3, 4]);
  assertEquals(pwriteFrom(file.fd, bytes, 1, 2, 10), 2);
  const out = new Uint8Array(4);
  assertEquals(preadInto(file.fd, out, 0, 4, 9), 4);
  assertEquals([...out], [0, 2, 3, 0]);
  assertEquals(preadInto(file.fd, out, 0, 4, 14), 2);
  assertEquals(preadInto(file.fd, out, 0, 4, 16), 0);
  assertEquals(readInto(file.fd, out, 0, 4), 4);
  assertEquals([...out], [0, 0, 0, 0]);
  file.close();
});

Deno.test("pread far past 4 GiB finds its place", () => {
  const file = createMemfd("sparse", 2 ** 40);
  const bytes = new Uint8Array([42]);
  assertEquals(pwriteFrom(file.fd, bytes, 0, 1, 2 ** 39 + 12345), 1);
  bytes[0] = 0;
  assertEquals(preadInto(file.fd, bytes, 0, 1, 2 ** 39 + 12345), 1);
  assertEquals(bytes[0], 42);
  file.close();
});

Deno.test("errors are thrown with the call's name, ranges are checked", () => {
  const file = createMemfd("read only", 4);
  const readOnly = reopen(file.fd, 0);
  const bytes = new Uint8Array(4);
  assertThrows(
    () => writeFrom(readOnly.fd, bytes, 0, 4),
    OsError,
    "Cannot write: Bad file descriptor (EBADF)",
  );
  assertThrows(() => pwriteFrom(readOnly.fd, bytes, 0, 4, 0), OsError, "Cannot pwrite");
  for (const [offset, length] of [[1, 4], [-1, 2], [0, -1], [NaN, 1]] as const) {
    assertThrows(() => readInto(file.fd, bytes, offset, length), RangeError);
    assertThrows(() => writeFrom(file.fd, bytes, offset, length), RangeError);
    assertThrows(() => preadInto(file.fd, bytes, offset, length, 0), RangeError);
    assertThrows(() => pwriteFrom(file.fd, bytes, offset, length, 0), RangeError);
  }
  readOnly.close();
  file.close();
});

Deno.test("sendWithFds sends text with a descriptor on a stream", () => {
  const [near, far] = socketPair(SOCKET.STREAM);
  const text = new Uint8Array(new TextEncoder().encode('{"execute": "add-fd"}\r\n'));
  assertEquals(sendWithFds(near.fd, text, [near.fd]), text.length);
  const out = new Uint8Array(64);
  const n = readInto(far.fd, out, 0, out.length);
  assertEquals(out.subarray(0, n), text);
  near.close();
  far.close();
});
