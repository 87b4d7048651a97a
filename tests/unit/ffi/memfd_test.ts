import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { Mapping } from "../../../ffi/mapping.ts";
import {
  addSeals,
  createMemfd,
  fchmod,
  ftruncate,
  getSeals,
  OPEN,
  reopen,
  SEAL,
  seekData,
  seekHole,
  seekTo,
  statFd,
} from "../../../ffi/memfd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { pwriteFrom, readInto } from "../../../ffi/stream.ts";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import "./loaded_shim.ts";

const BYTE = new Uint8Array([1]);

Deno.test("a memfd has its size, no memory yet, and no name in the file system", () => {
  const file = createMemfd("sized", 2 ** 33 + 5);
  const status = statFd(file.fd);
  assertEquals([status.sizeBytes, status.allocatedBytes, status.isRegular], [2 ** 33 + 5, 0, true]);
  assertEquals(Deno.readLinkSync(`/proc/self/fd/${file.fd}`), "/memfd:sized (deleted)");
  file.close();
});

Deno.test("seals hold: no shrinking, no growing, no writing, no more seals", () => {
  const file = createMemfd("sealed", 8192, { sealable: true });
  assertEquals(getSeals(file.fd), 0);
  addSeals(file.fd, SEAL.SHRINK);
  assertThrows(() => ftruncate(file.fd, 4096), OsError, "EPERM");
  ftruncate(file.fd, 12288);
  addSeals(file.fd, SEAL.GROW);
  assertThrows(() => ftruncate(file.fd, 16384), OsError, "EPERM");
  assertEquals(getSeals(file.fd), SEAL.SHRINK | SEAL.GROW);
  {
    using _mapping = Mapping.map(file.fd, 0, 4096, { write: true });
    assertThrows(() => addSeals(file.fd, SEAL.WRITE), OsError, "EBUSY");
    addSeals(file.fd, SEAL.FUTURE_WRITE);
  }
  assertThrows(() => pwriteFrom(file.fd, BYTE, 0, 1, 0), OsError, "EPERM");
  assertThrows(() => Mapping.map(file.fd, 0, 4096, { write: true }), OsError, "EPERM");
  addSeals(file.fd, SEAL.SEAL);
  assertThrows(() => addSeals(file.fd, SEAL.WRITE), OsError, "EPERM");
  file.close();
});

Deno.test("a memfd that is not sealable refuses seals; a socket has none", () => {
  const file = createMemfd("plain", 1);
  assertEquals(getSeals(file.fd), SEAL.SEAL);
  assertThrows(() => addSeals(file.fd, SEAL.SHRINK), OsError, "EPERM");
  file.close();
  const [near, far] = socketPair(SOCKET.STREAM);
  assertEquals(getSeals(near.fd), 0);
  near.close();
  far.close();
});

Deno.test("reopened read-only it cannot be written, and has a position of its own", () => {
  const file = createMemfd("reopened", 8);
  pwriteFrom(file.fd, BYTE, 0, 1, 3);
  const readOnly = reopen(file.fd, OPEN.READ_ONLY);
  assertEquals(statFd(readOnly.fd).ino, statFd(file.fd).ino);
  assertThrows(() => pwriteFrom(readOnly.fd, BYTE, 0, 1, 0), OsError, "EBADF");
  const out = new Uint8Array(4);
  seekTo(readOnly.fd, 3);
  assertEquals(readInto(readOnly.fd, out, 0, 4), 4);
  assertEquals([...out], [1, 0, 0, 0]);
  assertEquals(readInto(file.fd, out, 0, 4), 4);
  assertEquals([...out], [0, 0, 0, 1]);
  const writable = reopen(`/proc/${Deno.pid}/fd/${readOnly.fd}`, OPEN.READ_WRITE);
  assertEquals(pwriteFrom(writable.fd, BYTE, 0, 1, 0), 1);
  assertThrows(() => reopen("/nonexistent/file", OPEN.READ_ONLY), OsError, "Cannot open /nonexistent/file");
  for (const fd of [file, readOnly, writable]) fd.close();
});

Deno.test("fchmod changes the bits of the inode", () => {
  const file = createMemfd("mode", 1);
  assertNotEquals(statFd(file.fd).mode & 0o777, 0o400);
  fchmod(file.fd, 0o400);
  assertEquals(statFd(file.fd).mode & 0o777, 0o400);
  file.close();
});

Deno.test("holes and data are told apart, also far out", () => {
  const far = 2 ** 36;
  const file = createMemfd("holes", 2 * far);
  assertEquals(seekData(file.fd, 0), -1);
  assertEquals(seekHole(file.fd, 0), 0);
  pwriteFrom(file.fd, BYTE, 0, 1, 8192);
  pwriteFrom(file.fd, BYTE, 0, 1, far + 1);
  assertEquals(seekData(file.fd, 0), 8192);
  assertEquals(seekHole(file.fd, 8192), 12288);
  assertEquals(seekData(file.fd, 12288), far);
  assertEquals(seekHole(file.fd, far), far + 4096);
  assertEquals(seekData(file.fd, far + 4096), -1);
  assertEquals(seekHole(file.fd, 2 * far + 1), -1);
  assertEquals(statFd(file.fd).allocatedBytes, 8192);
  file.close();
});

Deno.test("stat tells kinds apart", () => {
  const [near, far] = socketPair(SOCKET.STREAM);
  assert(statFd(near.fd).isSocket);
  const device = reopen("/dev/null", OPEN.READ_WRITE);
  assert(statFd(device.fd).isCharacterDevice && !statFd(device.fd).isRegular);
  const folder = reopen("/proc/self/fd", OPEN.DIRECTORY);
  assert(statFd(folder.fd).isDirectory);
  for (const fd of [near, far, device, folder]) fd.close();
  assertThrows(() => statFd(1_000_000), OsError, "EBADF");
});

Deno.test("a size that cannot be leaves no descriptor behind", () => {
  assertThrows(() => createMemfd("negative", -1), OsError, "EINVAL");
  assertThrows(() => createMemfd("x".repeat(300), 1), OsError, "EINVAL");
});
