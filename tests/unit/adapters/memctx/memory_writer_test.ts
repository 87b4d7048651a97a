/**
 * The writer of guest RAM in a file that somebody cuts right behind the look at its size. All else of it is
 * tested on real guests (tests/guest/memctx_write.test.ts).
 * @module
 */
import "../../ffi/loaded_shim.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { createMemfd, ftruncate } from "../../../../ffi/memfd.ts";
import { preadInto, pwriteFrom } from "../../../../ffi/stream.ts";
import { MemoryWriter, type WriteContext } from "../../../../src/adapters/memctx/memory_writer.ts";
import { MemwriteRequest } from "../../../../src/adapters/memctx/memwrite_request.ts";
import type { SharedRam } from "../../../../src/adapters/memctx/shared_ram.ts";
import { CODE } from "../../../../src/base/codes.ts";
import { Fault } from "../../../../src/base/fault.ts";
import { X64_4 } from "../../../../src/guest/paging.ts";

const PAGE = 4096;
const PAGES = 16;
/** Present, writable. */
const TABLE = 3;
const CONTEXT: WriteContext = { rootFrame: 1, paging: X64_4, paired: false, sharesLastEntry: false };

/** RAM with tables in frames 1 to 4 that map address 0 to `frame`. */
function ramMapping(frame: number) {
  const file = createMemfd("ram", PAGES * PAGE);
  const entries = [2, 3, 4, frame];
  entries.forEach((next, level) => {
    pwriteFrom(file.fd, new Uint8Array([TABLE, next << 4]), 0, 2, (level + 1) * PAGE);
  });
  const ram = {
    pieces: [{ gpa: 0, fileOffset: 0, sizeBytes: PAGES * PAGE, backend: 0 }],
    openWritable: () => [file.dup()],
    sizeOf: () => PAGES * PAGE,
    // As it answers just before the file is cut.
    verify: () => {},
  };
  return { file, ram: ram as unknown as SharedRam };
}

function request(...source: number[]): MemwriteRequest {
  const write = new MemwriteRequest();
  write.source = new Uint8Array(source);
  write.length = write.span = source.length;
  return write;
}

Deno.test("a write into RAM that was cut meanwhile is refused, and the next one too", () => {
  const { file, ram } = ramMapping(9);
  using writer = new MemoryWriter(ram);
  const write = () => writer.write(request(1, 2, 3), CONTEXT, false);
  assertEquals(write(), CODE.ok);
  const there = new Uint8Array(4);
  preadInto(file.fd, there, 0, 4, 9 * PAGE);
  assertEquals([...there], [1, 2, 3, 0]);
  // The page goes, its tables stay: the bytes are stored, and nowhere.
  ftruncate(file.fd, 9 * PAGE);
  assertThrows(write, Fault, "its file was truncated");
  ftruncate(file.fd, PAGES * PAGE);
  assertThrows(write, Fault, "its file was truncated");
  file.close();
});

Deno.test("tables that were cut are no unmapped page", () => {
  const { file, ram } = ramMapping(9);
  using writer = new MemoryWriter(ram);
  ftruncate(file.fd, 0);
  assertThrows(() => writer.write(request(1), CONTEXT, false), Fault, "its file was truncated");
  file.close();
});

Deno.test("page tables that no walker reads are not written through", () => {
  const { file, ram } = ramMapping(8);
  using _file = file;
  using writer = new MemoryWriter(ram);
  const context = { ...CONTEXT, paging: undefined };
  assertEquals(writer.write(request(1), context, true), CODE["not-supported"]);
  assertEquals(writer.inOrder, 0);
});
