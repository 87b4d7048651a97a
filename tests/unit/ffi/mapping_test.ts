import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { AssertionFault } from "../../../src/base/assert.ts";
import { Fault } from "../../../src/base/fault.ts";
import { Mapping, PAGE_BYTES } from "../../../ffi/mapping.ts";
import { createMemfd, OPEN, reopen } from "../../../ffi/memfd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { preadInto, pwriteFrom } from "../../../ffi/stream.ts";
import "./loaded_shim.ts";

Deno.test("a mapping and its file are the same bytes, both ways", () => {
  const file = createMemfd("mapped", 3 * PAGE_BYTES);
  using whole = Mapping.map(file.fd, 0, 3 * PAGE_BYTES, { write: true });
  using second = Mapping.map(file.fd, PAGE_BYTES, 100, { write: false });
  assertEquals([whole.length, whole.writable, second.length, second.writable], [12288, true, 100, false]);
  assertEquals(second.buffer.byteLength, 100);
  new Uint8Array(whole.buffer)[PAGE_BYTES + 5] = 77;
  assertEquals(new Uint8Array(second.buffer)[5], 77);
  pwriteFrom(file.fd, new Uint8Array([1, 2, 3]), 0, 3, PAGE_BYTES);
  assertEquals([...new Uint8Array(second.buffer, 0, 3)], [1, 2, 3]);
  const out = new Uint8Array(1);
  preadInto(file.fd, out, 0, 1, PAGE_BYTES + 5);
  assertEquals(out[0], 77);
  file.close();
  assertEquals(new Uint8Array(second.buffer)[5], 77);
});

Deno.test("use after dispose is an exception or nothing, never a crash", () => {
  const file = createMemfd("gone", PAGE_BYTES);
  const mapping = Mapping.map(file.fd, 0, PAGE_BYTES, { write: true });
  const buffer = mapping.buffer;
  const bytes = new Uint8Array(buffer);
  const words = new Int32Array(buffer);
  const view = new DataView(buffer);
  bytes[0] = 1;
  mapping[Symbol.dispose]();
  assert(mapping.disposed);
  mapping[Symbol.dispose]();
  assert(buffer.detached);
  assertThrows(() => mapping.buffer, AssertionFault);
  assertThrows(() => mapping.address, AssertionFault);
  assertThrows(() => view.getUint8(0), TypeError);
  assertThrows(() => Atomics.load(words, 0), TypeError);
  assertThrows(() => new Uint8Array(buffer, 0, 4), TypeError);
  assertEquals([bytes.length, bytes[0]], [0, undefined]);
  file.close();
});

Deno.test("code that ran hot on a mapping notices its disposal as well", () => {
  const sum = (bytes: Uint8Array): number => {
    let total = 0;
    for (let i = 0; i < bytes.length; i++) total += bytes[i] ?? 0;
    return total;
  };
  for (let turn = 0; turn < 200; turn++) {
    const mapping = Mapping.anonymous(PAGE_BYTES);
    const bytes = new Uint8Array(mapping.buffer).fill(1);
    assertEquals(sum(bytes), PAGE_BYTES);
    mapping[Symbol.dispose]();
    assertEquals(sum(bytes), 0);
  }
});

Deno.test("disposal gives the address space back", () => {
  const name = crypto.randomUUID();
  const file = createMemfd(name, PAGE_BYTES);
  const regions = () => Deno.readTextFileSync("/proc/self/maps").split("\n").filter((l) => l.includes(name));
  const mappings = Array.from({ length: 50 }, () => Mapping.map(file.fd, 0, PAGE_BYTES, { write: false }));
  assert(regions().length > 0);
  for (const mapping of mappings) mapping[Symbol.dispose]();
  assertEquals(regions(), []);
  file.close();
});

Deno.test("a mapping may be far larger than memory", () => {
  const size = 64 * 2 ** 30;
  const file = createMemfd("huge", size);
  const mapping = Mapping.map(file.fd, 0, size, { write: true });
  const bytes = new Uint8Array(mapping.buffer, size - 16, 16);
  bytes[15] = 9;
  const out = new Uint8Array(1);
  preadInto(file.fd, out, 0, 1, size - 1);
  assertEquals(out[0], 9);
  mapping[Symbol.dispose]();
  assertEquals(bytes.length, 0);
  file.close();
});

Deno.test("anonymous memory is zero, and stays where it is", () => {
  using mapping = Mapping.anonymous(10_000);
  const bytes = new Uint8Array(mapping.buffer);
  assertEquals(bytes.every((byte) => byte === 0), true);
  const pointer = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
  assertEquals(Number(pointer), mapping.address);
  assertEquals(mapping.address % PAGE_BYTES, 0);
});

Deno.test("pieces of files lie where they were put, read-only, with zeros between", () => {
  const [first, second] = [createMemfd("first", 2 * PAGE_BYTES), createMemfd("second", PAGE_BYTES)];
  pwriteFrom(first.fd, new Uint8Array([1, 2]), 0, 1, 0);
  pwriteFrom(first.fd, new Uint8Array([1, 2]), 1, 1, PAGE_BYTES);
  pwriteFrom(second.fd, new Uint8Array([3]), 0, 1, 0);
  const mapping = Mapping.assemble(4 * PAGE_BYTES, [
    { at: 0, fd: first.fd, offset: PAGE_BYTES, length: PAGE_BYTES },
    { at: 3 * PAGE_BYTES, fd: second.fd, offset: 0, length: PAGE_BYTES },
    { at: PAGE_BYTES, fd: first.fd, offset: 0, length: PAGE_BYTES },
  ]);
  const bytes = new Uint8Array(mapping.buffer);
  assertEquals([0, 1, 2, 3].map((page) => bytes[page * PAGE_BYTES]), [2, 1, 0, 3]);
  assert(!mapping.writable);
  for (const at of [-PAGE_BYTES, 100, 4 * PAGE_BYTES]) {
    const piece = { at, fd: first.fd, offset: 0, length: PAGE_BYTES };
    assertThrows(() => Mapping.assemble(4 * PAGE_BYTES, [piece]), AssertionFault);
  }
  const closed = { at: 0, fd: 1_000_000, offset: 0, length: PAGE_BYTES };
  assertThrows(() => Mapping.assemble(PAGE_BYTES, [closed]), OsError, "EBADF");
  mapping[Symbol.dispose]();
  assertEquals(bytes.length, 0);
  first.close();
  second.close();
});

Deno.test("what is let go is ours no more, and there again when it is touched", () => {
  const pages = 2048;
  const file = createMemfd("let go", pages * PAGE_BYTES);
  const written = Mapping.map(file.fd, 0, pages * PAGE_BYTES, { write: true });
  const writing = new Int32Array(written.buffer);
  for (let page = 0; page < pages; page++) writing[page * 1024] = page + 1;
  assertThrows(() => written.letGo(), AssertionFault);
  written[Symbol.dispose]();
  const pieces = [{ at: 0, fd: file.fd, offset: 0, length: pages * PAGE_BYTES }];
  const mapping = Mapping.assemble((pages + 1) * PAGE_BYTES, pieces);
  const words = new Int32Array(mapping.buffer);
  const sum = (): number => {
    let all = 0;
    for (let page = 0; page <= pages; page++) all += words[page * 1024]!;
    return all;
  };
  const expected = pages * (pages + 1) / 2;
  assertEquals(sum(), expected);
  const touched = sharedKb();
  mapping.letGo();
  assertLess(sharedKb(), touched - pages * 3);
  assertEquals(sum(), expected);
  mapping[Symbol.dispose]();
  assertThrows(() => mapping.letGo(), AssertionFault);
  file.close();
});

/** Shared memory that counts as this process's, kB. */
function sharedKb(): number {
  return Number(/^RssShmem:\s+(\d+) kB/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1]);
}

Deno.test("what cannot be mapped is refused", () => {
  const file = createMemfd("refused", PAGE_BYTES);
  for (const [offset, length] of [[0, 0], [0, -1], [0, 1.5], [100, 1], [-PAGE_BYTES, 1]] as const) {
    assertEquals(
      assertThrows(() => Mapping.map(file.fd, offset, length, { write: false }), Fault).code,
      "bad-argument",
    );
  }
  const readOnly = reopen(file.fd, OPEN.READ_ONLY);
  assertThrows(() => Mapping.map(readOnly.fd, 0, 1, { write: true }), OsError, "EACCES");
  assertThrows(() => Mapping.map(1_000_000, 0, 1, { write: false }), OsError, "EBADF");
  readOnly.close();
  file.close();
});

/** The kernel's flags of the mapping that an address lies in: "rd", "sh", "dd", … */
function flagsAt(address: number): string[] {
  let isHere = false;
  for (const line of Deno.readTextFileSync("/proc/self/smaps").split("\n")) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (range !== null) {
      isHere = parseInt(range[1] ?? "", 16) <= address && address < parseInt(range[2] ?? "", 16);
    } else if (isHere && line.startsWith("VmFlags:")) return line.slice(8).trim().split(" ");
  }
  throw new Error("nothing is mapped there");
}

Deno.test("what is mapped of a file is left out of a core: it may be a guest's memory", () => {
  const file = createMemfd("undumped", 2 * PAGE_BYTES);
  using whole = Mapping.map(file.fd, 0, PAGE_BYTES, { write: false });
  using pieces = Mapping.assemble(3 * PAGE_BYTES, [{
    at: PAGE_BYTES,
    fd: file.fd,
    offset: 0,
    length: PAGE_BYTES,
  }]);
  using own = Mapping.anonymous(PAGE_BYTES);
  file.close();
  assertEquals(flagsAt(whole.address).includes("dd"), true);
  assertEquals(flagsAt(pieces.address + PAGE_BYTES).includes("dd"), true);
  assertEquals(flagsAt(own.address).includes("dd"), false);
});
