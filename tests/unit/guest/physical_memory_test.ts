/**
 * Physical memory: segments, holes, sources that cannot be mapped, and what happens when the source goes.
 * @module
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import type { RamPort } from "../../../src/guest/ram_port.ts";
import { SyntheticRam } from "../../../src/guest/synthetic_ram.ts";

const PAGE = 4096;

Deno.test("a hole reads as zeros and its bytes are never seen; a page that comes is seen at once", () => {
  const ram = new SyntheticRam([{ gpa: 0, sizeBytes: 64 * PAGE }]);
  for (let i = 0; i < 64; i++) ram.put32(i * PAGE, 0xdead_0000 + i);
  for (const page of [3, 4, 40]) ram.setHole(page * PAGE, true);
  using memory = new PhysicalMemory(ram);
  assertEquals(memory.refresh(), { residentBytes: 61 * PAGE, runs: 3 });
  const bytes = new Uint8Array(64 * PAGE);
  assertEquals(memory.read(0, bytes), bytes.length);
  const words = new Uint32Array(bytes.buffer);
  for (let i = 0; i < 64; i++) assertEquals(words[i * 1024], [3, 4, 40].includes(i) ? 0 : 0xdead_0000 + i);
  const asked = ram.asked;
  memory.read(0, bytes, 0, 3 * PAGE);
  assertEquals(ram.asked, asked, "held pages are not asked for again");
  ram.setHole(4 * PAGE, false);
  memory.read(4 * PAGE, bytes, 0, 4);
  assertEquals(words[0], 0xdead_0004);
});

Deno.test("to renew asks for nothing that is known, and sees a page that has come", () => {
  const ram = new SyntheticRam([{ gpa: 0, sizeBytes: 64 * PAGE }]);
  ram.setHole(4 * PAGE, true);
  using memory = new PhysicalMemory(ram);
  memory.refresh();
  const asked = ram.asked;
  memory.renew();
  assertEquals([ram.asked, memory.isHeld(5), ram.asked], [asked, true, asked]);
  ram.setHole(4 * PAGE, false);
  memory.renew();
  assert(memory.isHeld(4));
});

Deno.test("a scan visits held runs only, over GiB borders and shared GiBs", () => {
  const gib = 2 ** 30;
  const ram = new SyntheticRam([
    { gpa: 0, sizeBytes: 160 * PAGE },
    { gpa: 192 * PAGE, sizeBytes: 64 * PAGE },
    { gpa: gib - 8 * PAGE, sizeBytes: 16 * PAGE },
  ]);
  ram.setHole(5 * PAGE, true);
  using memory = new PhysicalMemory(ram);
  memory.refresh();
  const seen: [number, number][] = [];
  memory.forEachHeldRun((_words, _first, count, gpa) => {
    seen.push([gpa / PAGE, count / 1024]);
  });
  assertEquals(seen, [[0, 5], [6, 154], [192, 64], [gib / PAGE - 8, 8], [gib / PAGE, 8]]);
  let visits = 0;
  memory.forEachHeldRun(() => ++visits === 2);
  assertEquals(visits, 2, "a visitor can stop");
});

Deno.test("reads go as far as RAM does, across segments that touch", () => {
  const ram = new SyntheticRam([{ gpa: 0, sizeBytes: 2 * PAGE }, { gpa: 2 * PAGE, sizeBytes: PAGE }, {
    gpa: 2 ** 32,
    sizeBytes: PAGE,
  }]);
  ram.putText(2 * PAGE - 3, "ab");
  ram.putText(2 * PAGE, "cd");
  using memory = new PhysicalMemory(ram);
  const into = new Uint8Array(4 * PAGE);
  assertEquals(memory.read(2 * PAGE - 3, into), PAGE + 3);
  assertEquals([...into.subarray(0, 6)], [97, 98, 0, 99, 100, 0]);
  assertEquals(memory.read(3 * PAGE, into), 0);
  assertEquals(memory.read(2 ** 32 + 4000, into), 96);
  assertEquals(memory.read(2 ** 50, into), 0);
  assertEquals([memory.isRam(2 ** 32), memory.isRam(3 * PAGE), memory.ramBytes], [true, false, 4 * PAGE]);
});

Deno.test("a source that is fetched page by page: cached until refreshed, missing pages told", () => {
  let version = 1;
  let fetched = 0;
  const port: RamPort = {
    segments: [{ gpa: 0, sizeBytes: 8 * PAGE }],
    description: "a fetched source",
    nextData: (gpa) => gpa,
    nextHole: (_gpa, end) => end,
    fetch: (gpa, into) => {
      fetched++;
      into.fill(version);
      return gpa !== 5 * PAGE;
    },
    verify: () => {},
    [Symbol.dispose]: () => {},
  };
  using memory = new PhysicalMemory(port);
  memory.refresh();
  const into = new Uint8Array(8 * PAGE);
  assertEquals(memory.read(PAGE - 1, into, 0, 2), 2);
  assertEquals([...into.subarray(0, 3)], [1, 1, 0]);
  version = 2;
  memory.read(0, into, 0, 4);
  assertEquals([into[0], fetched], [1, 2]);
  memory.refresh();
  memory.read(0, into, 0, 4);
  assertEquals(into[0], 2);
  assertEquals(memory.read(4 * PAGE, into), PAGE, "it ends where a page is missing");
});

Deno.test("a source that shrank is an error at the next look; a closed memory says so", () => {
  const ram = new SyntheticRam([{ gpa: 0, sizeBytes: PAGE }]);
  const memory = new PhysicalMemory(ram);
  ram.broken = new Fault("refused", "Cannot read: it shrank");
  assertThrows(() => memory.refresh(), Fault, "shrank");
  ram.broken = undefined;
  memory.refresh();
  memory[Symbol.dispose]();
  assertThrows(() => memory.verify(), Fault, "closed");
  assert(!memory.locate(0));
  assertEquals(memory.read(0, new Uint8Array(8)), 0);
});

Deno.test("RAM past 8 TiB is refused", () => {
  assertThrows(
    () => new PhysicalMemory(new SyntheticRam([{ gpa: 2 ** 43, sizeBytes: PAGE }])),
    Fault,
    "8 TiB",
  );
});
