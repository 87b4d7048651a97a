/**
 * Mapped files that are cut while they are read: zeros and a word about it instead of the end of the process.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { createMemfd, ftruncate } from "../../../ffi/memfd.ts";
import { Mapping, PAGE_BYTES } from "../../../ffi/mapping.ts";
import { copyIn, copyOut } from "../../../ffi/memory_copy.ts";
import { SharedWords } from "../../../ffi/shared_word.ts";
import { pwriteFrom } from "../../../ffi/stream.ts";
import "./loaded_shim.ts";

const PAGES = 16;

/** A file whose every page begins with its own number, from 1. */
function numbered(pages: number) {
  const file = createMemfd("cut", pages * PAGE_BYTES);
  for (let page = 0; page < pages; page++) {
    pwriteFrom(file.fd, new Uint8Array([page + 1]), 0, 1, page * PAGE_BYTES);
  }
  return file;
}

function firstBytes(mapping: Mapping): number[] {
  const bytes = new Uint8Array(mapping.buffer);
  return Array.from({ length: mapping.length / PAGE_BYTES }, (_, page) => bytes[page * PAGE_BYTES] as number);
}

Deno.test("what a file has lost reads as zeros, what it still has as before, and the mapping tells", () => {
  using file = numbered(PAGES);
  using mapping = Mapping.map(file.fd, 0, PAGES * PAGE_BYTES, { write: false });
  using other = Mapping.map(file.fd, 0, 2 * PAGE_BYTES, { write: false });
  ftruncate(file.fd, 3 * PAGE_BYTES);
  assertEquals([firstBytes(other), other.lost, mapping.lost], [[1, 2], false, false], "nobody has missed it");
  const last = PAGES * PAGE_BYTES - 1;
  assertEquals(new Uint8Array(mapping.buffer)[last], 0);
  assertEquals([mapping.lost, other.lost], [true, false]);
  assertEquals(firstBytes(mapping), [1, 2, 3, ...new Array(PAGES - 3).fill(0)]);
  // Every way of reading goes the same way: whole copies, copies in C, words.
  const copy = new Uint8Array(mapping.buffer.slice(0));
  assertEquals([copy[2 * PAGE_BYTES], copy[3 * PAGE_BYTES]], [3, 0]);
  ftruncate(file.fd, 0);
  const out = new Uint8Array(2 * PAGE_BYTES).fill(9);
  copyOut(mapping, 0, out, 0, out.length);
  assert(out.every((byte) => byte === 0));
  assertEquals(new SharedWords(other.buffer, PAGE_BYTES, 2).load64(0), 0);
  assert(other.lost);
  // A file that grows again is not the one that was mapped.
  ftruncate(file.fd, PAGES * PAGE_BYTES);
  pwriteFrom(file.fd, new Uint8Array([77]), 0, 1, 0);
  assertEquals([firstBytes(mapping)[0], mapping.lost], [0, true]);
});

Deno.test("what is written where the file has gone is nowhere", () => {
  using file = numbered(2);
  using mapping = Mapping.map(file.fd, 0, 2 * PAGE_BYTES, { write: true });
  ftruncate(file.fd, PAGE_BYTES);
  copyIn(mapping, 0, new Uint8Array([5]), 0, 1);
  assertEquals(mapping.lost, false);
  copyIn(mapping, PAGE_BYTES, new Uint8Array([6]), 0, 1);
  new SharedWords(mapping.buffer, PAGE_BYTES + 8, 2).store32(0, 7);
  assert(mapping.lost);
  ftruncate(file.fd, 2 * PAGE_BYTES);
  using again = Mapping.map(file.fd, 0, 2 * PAGE_BYTES, { write: false });
  assertEquals(firstBytes(again), [5, 0]);
});

Deno.test("of several files in one range only the one that was cut is lost", () => {
  using whole = numbered(4);
  using cut = numbered(4);
  using mapping = Mapping.assemble(12 * PAGE_BYTES, [
    { at: 0, fd: whole.fd, offset: 0, length: 4 * PAGE_BYTES },
    { at: 4 * PAGE_BYTES, fd: cut.fd, offset: 0, length: 4 * PAGE_BYTES },
    { at: 8 * PAGE_BYTES, fd: whole.fd, offset: 0, length: 4 * PAGE_BYTES },
  ]);
  ftruncate(cut.fd, PAGE_BYTES);
  assertEquals(firstBytes(mapping), [1, 2, 3, 4, 1, 0, 0, 0, 1, 2, 3, 4]);
  assert(mapping.lost);
});

Deno.test("guards end with their mappings: more of them come and go than there can be at once", () => {
  using file = numbered(1);
  for (let i = 0; i < 5000; i++) Mapping.map(file.fd, 0, PAGE_BYTES, { write: false })[Symbol.dispose]();
  const mapping = Mapping.map(file.fd, 0, PAGE_BYTES, { write: false });
  ftruncate(file.fd, 0);
  assertEquals([firstBytes(mapping), mapping.lost], [[0], true]);
  mapping[Symbol.dispose]();
  assertEquals(mapping.lost, false);
  ftruncate(file.fd, PAGE_BYTES);
  using fresh = Mapping.map(file.fd, 0, PAGE_BYTES, { write: false });
  assertEquals(
    [firstBytes(fresh), fresh.lost],
    [[0], false],
    "a new guard does not remember the last one's loss",
  );
});

Deno.test("threads that lose files at the same time each hear of their own", async () => {
  const url = new URL("./lost_file_worker.ts", import.meta.url);
  const workers = Array.from({ length: 4 }, () => new Worker(url, { type: "module" }));
  try {
    const outcomes = await Promise.all(workers.map((worker) =>
      new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => reject(new Error(event.message));
      })
    ));
    assertEquals(outcomes, workers.map(() => ({ rounds: 300, lost: 300, sum: 300 })));
  } finally {
    for (const worker of workers) worker.terminate();
  }
});

Deno.test("a bus error that is nobody's ends the process as ever", async () => {
  const { signal, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "--no-config",
      new URL("bus_error_program.ts", import.meta.url).pathname,
    ],
    stderr: "null",
  }).output();
  assertEquals(new TextDecoder().decode(stdout), "guarded: 0\n");
  assertEquals(signal, "SIGBUS");
});
