import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { AssertionFault } from "../../../src/base/assert.ts";
import { createMemfd, statFd } from "../../../ffi/memfd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import {
  closeFd,
  closeFdElsewhere,
  openFdCount,
  OwnedFd,
  reserveDescriptors,
} from "../../../ffi/owned_fd.ts";
import { descriptorsOf, settled, untilNoMore } from "../../fixtures/holdings.ts";
import "./loaded_shim.ts";

Deno.test("an owned fd is closed once, and refuses use afterwards", () => {
  const before = openFdCount();
  const file = createMemfd("owned", 1);
  const number = file.fd;
  assertEquals(openFdCount(), before + 1);
  assertEquals(statFd(number).sizeBytes, 1);
  file.close();
  assert(file.closed);
  file.close();
  file[Symbol.dispose]();
  assertEquals(openFdCount(), before);
  assertThrows(() => file.fd, AssertionFault);
  assertThrows(() => file.release(), AssertionFault);
  assertThrows(() => file.dup(), AssertionFault);
});

Deno.test("release hands the number over without closing it", () => {
  const before = openFdCount();
  const file = createMemfd("released", 3);
  const number = file.release();
  assertEquals(openFdCount(), before);
  file.close();
  assertEquals(statFd(number).sizeBytes, 3);
  closeFd(number);
});

Deno.test("a duplicate is the same file with a life of its own", () => {
  const file = createMemfd("dup", 5);
  const copy = file.dup();
  assertNotEquals(copy.fd, file.fd);
  assertEquals(statFd(copy.fd).ino, statFd(file.fd).ino);
  file.close();
  assertEquals(statFd(copy.fd).sizeBytes, 5);
  copy.close();
});

Deno.test("what is no descriptor is not owned or closed", () => {
  assertThrows(() => new OwnedFd(-1), AssertionFault);
  assertThrows(() => new OwnedFd(0.5), AssertionFault);
  assertThrows(() => closeFd(1_000_000), OsError, "EBADF");
});

Deno.test("room for descriptors: the table grows at once, as far as the limit allows, and nothing stays open", async () => {
  const status = () => Deno.readTextFileSync("/proc/self/status");
  const tableSize = () => Number(/^FDSize:\s+(\d+)$/m.exec(status())?.[1]);
  const before = await settled(() => descriptorsOf(Deno.pid));
  const wanted = Math.min(2 * tableSize() + 1, 5000);
  const room = reserveDescriptors(wanted);
  assert(room > 3 && tableSize() >= room, `${room} of ${wanted} in a table of ${tableSize()}`);
  const limit = Number(/^Max open files\s+(\d+)/m.exec(Deno.readTextFileSync("/proc/self/limits"))?.[1]);
  assertEquals(room >= Math.min(wanted, limit / 2), true);
  // More than the limit: as many as there may be, to a factor of two.
  const most = reserveDescriptors(limit < 2 ** 20 ? limit * 3 : 100);
  assert(most <= limit && most > 3, `${most} with a limit of ${limit}`);
  // Deno's own threads open and close, too.
  await untilNoMore("descriptors that are left", before, () => descriptorsOf(Deno.pid));
});

Deno.test("a descriptor is closed elsewhere, once; a second time is an error", async () => {
  const number = createMemfd("elsewhere", 1).release();
  await closeFdElsewhere(number);
  assertThrows(() => statFd(number), OsError, "EBADF");
  await assertRejects(() => closeFdElsewhere(number), OsError, "EBADF");
});
