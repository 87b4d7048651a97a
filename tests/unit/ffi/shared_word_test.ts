import { assert, assertEquals, assertThrows } from "@std/assert";
import { AssertionFault } from "../../../src/base/assert.ts";
import { Mapping } from "../../../ffi/mapping.ts";
import { createMemfd } from "../../../ffi/memfd.ts";
import { SharedWords, storeAtomic } from "../../../ffi/shared_word.ts";
import { EXPERIMENT_BYTES, type ExperimentName, type ExperimentResult } from "./shared_word_worker.ts";
import "./loaded_shim.ts";

Deno.test("words of both widths, and their limits", () => {
  using mapping = Mapping.anonymous(4096);
  const words = new SharedWords(mapping.buffer, 64, 8);
  assertEquals(words.count, 8);
  words.store32(0, 0xffff_fffe);
  assertEquals(words.load32(0), 0xffff_fffe);
  assertEquals(words.add32(0, 5), 0xffff_fffe);
  assertEquals(words.load32(0), 3);
  assertEquals(words.compareExchange32(0, 4, 9), 3);
  assertEquals(words.compareExchange32(0, 3, 9), 3);
  assertEquals(words.load32(0), 9);
  for (const value of [0, 1, 0xffff_ffff, 2 ** 32, 2 ** 53 - 1]) {
    words.store64(3, value);
    assertEquals(words.load64(3), value);
    assertEquals(words.load32(6) + words.load32(7) * 2 ** 32, value);
  }
  words.store64(1, -2);
  assertEquals([words.load32(2), words.load32(3)], [0xffff_fffe, 0xffff_ffff]);
  assertEquals(new Uint32Array(mapping.buffer, 64, 1)[0], 9);
  for (const i of [-1, 4, NaN]) {
    assertThrows(() => words.load64(i), RangeError);
    assertThrows(() => words.store64(i, 0), RangeError);
  }
  assertThrows(() => words.load32(8), RangeError);
  assertThrows(() => new SharedWords(mapping.buffer, 4, 1), AssertionFault);
});

Deno.test("words of a SharedArrayBuffer", () => {
  const words = new SharedWords(new SharedArrayBuffer(16), 0, 4);
  words.store64(1, 2 ** 40);
  assertEquals([words.load64(1), words.load32(3)], [2 ** 40, 256]);
});

Deno.test("words of a mapping that is gone: an exception, never a stranger's memory", () => {
  const mapping = Mapping.anonymous(4096);
  const words = new SharedWords(mapping.buffer, 0, 4);
  mapping[Symbol.dispose]();
  assertEquals(words.count, 0);
  assertThrows(() => words.load32(0));
  assertThrows(() => words.store32(0, 1));
  assertThrows(() => words.load64(0), RangeError);
  assertThrows(() => words.store64(0, 1), RangeError);
  assertThrows(() => storeAtomic(mapping, 0, 4, 1), AssertionFault);
});

Deno.test("storeAtomic stores exactly its bytes", () => {
  using mapping = Mapping.anonymous(4096);
  const bytes = new Uint8Array(mapping.buffer);
  const cases: [offset: number, size: number, expected: number[]][] = [
    [9, 1, [0x44]],
    [10, 2, [0x44, 0x33]],
    [12, 4, [0x44, 0x33, 0x22, 0x91]],
    [16, 8, [0x44, 0x33, 0x22, 0x91, 0x88, 0x77, 0x66, 0xf5]],
  ];
  for (const [offset, size, expected] of cases) {
    bytes.fill(0xee);
    storeAtomic(mapping, offset, size, 0x9122_3344, 0xf566_7788);
    assertEquals([...bytes.subarray(offset - 1, offset + size + 1)], [0xee, ...expected, 0xee]);
  }
  for (const [offset, size] of [[1, 2], [2, 4], [4, 8], [4095, 2], [4096, 1], [-8, 8], [0, 3]] as const) {
    assertThrows(() => storeAtomic(mapping, offset, size, 0), AssertionFault);
  }
  const file = createMemfd("read only", 4096);
  using readOnly = Mapping.map(file.fd, 0, 4096, { write: false });
  assertThrows(() => storeAtomic(readOnly, 0, 4, 1), AssertionFault);
  file.close();
});

/** Runs an experiment on two threads, each with a mapping of its own of one memfd. */
async function experiment(name: ExperimentName, rounds: number): Promise<ExperimentResult[]> {
  const file = createMemfd(name, EXPERIMENT_BYTES);
  const workers = [0, 1].map(() =>
    new Worker(new URL("shared_word_worker.ts", import.meta.url), { type: "module" })
  );
  try {
    return await Promise.all(
      workers.map((worker, side) =>
        new Promise<ExperimentResult>((resolve, reject) => {
          worker.onmessage = (message: MessageEvent<ExperimentResult>) => resolve(message.data);
          worker.onerror = (error) => reject(new Error(error.message));
          worker.postMessage({ name, side, fd: file.fd, rounds });
        })
      ),
    );
  } finally {
    for (const worker of workers) worker.terminate();
    file.close();
  }
}

Deno.test("what was written before a store is seen behind the load that sees it", async () => {
  const [, reader] = await experiment("publish", 300_000);
  assertEquals(reader?.violations, 0);
  assert((reader?.looks ?? 0) > 0);
});

Deno.test("a 64-bit word is never seen in part", async () => {
  const [, reader] = await experiment("torn", 300_000);
  assertEquals(reader?.violations, 0);
  assert((reader?.looks ?? 0) > 0);
});

Deno.test("store then load: of two sides, at least one sees the other (a store is a full fence)", async () => {
  // With plain stores and loads in their place, 69 and 96 of 100,000 rounds went wrong where this was
  // written.
  const sides = await experiment("fence", 100_000);
  assert(sides.every((side) => side.looks > 0));
  assertEquals(sides.map((side) => side.violations), [0, 0]);
});
