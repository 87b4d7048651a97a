/**
 * The search of RAM that is mapped from a file, which libc makes: the same matches as a plain comparison of
 * every place, and as the search of RAM that is not mapped, however pages lie in RAM and wherever a match
 * begins.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { createMemfd } from "../../../ffi/memfd.ts";
import { Mapping } from "../../../ffi/mapping.ts";
import { AddressSpace } from "../../../src/guest/address_space.ts";
import { readBulk } from "../../../src/guest/bulk_read.ts";
import { searchMemory } from "../../../src/guest/memory_search.ts";
import { pagingOf } from "../../../src/guest/paging.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import { SyntheticRam } from "../../../src/guest/synthetic_ram.ts";
import { MappedRam } from "../../../src/ram/mapped_ram.ts";
import { SeededRandom } from "../../fixtures/seeded_random.ts";
import { TableBuilder } from "../../fixtures/table_builder.ts";
import "../ffi/loaded_shim.ts";

const PAGE = 4096;
const MIB = 2 ** 20;
const PAGES = 96;
const BASE = 0x10_0000;

/** Some pages of few letters, in runs of RAM and one by one, with gaps; the bytes as a process sees them. */
function scene(random: SeededRandom): { ram: SyntheticRam; root: number; shown: (Uint8Array | undefined)[] } {
  const ram = new SyntheticRam([{ gpa: 0, sizeBytes: 4 * MIB }]);
  const tables = new TableBuilder(ram, pagingOf(4), 2 * MIB);
  const root = tables.page();
  const shown: (Uint8Array | undefined)[] = [];
  let frame = 1;
  for (let i = 0; i < PAGES; i++) {
    if (random.below(3) === 0) frame = 1 + random.below(400);
    const bytes = ram.bytes(frame * PAGE, PAGE);
    for (let at = 0; at < PAGE; at++) bytes[at] = random.below(12) === 0 ? 65 + random.below(2) : 0;
    const isGap = random.below(12) === 0;
    if (!isGap) tables.map(root, BASE + i * PAGE, frame * PAGE);
    shown.push(isGap ? undefined : bytes);
    frame++;
  }
  return { ram, root, shown };
}

/** Every place at which the pattern stands, one after the other. */
function plain(shown: readonly (Uint8Array | undefined)[], pattern: Uint8Array): number[] {
  // No byte is -1.
  const bytes = new Int16Array(shown.length * PAGE).fill(-1);
  shown.forEach((page, i) => page !== undefined && bytes.set(page, i * PAGE));
  const out: number[] = [];
  for (let offset = 0; offset + pattern.length <= bytes.length; offset++) {
    let same = 0;
    while (same < pattern.length && bytes[offset + same] === pattern[same]) same++;
    if (same === pattern.length) out.push(BASE + offset);
  }
  return out;
}

Deno.test("a search by libc finds what a plain comparison finds, and a search in JavaScript too", () => {
  const random = new SeededRandom(15);
  for (let round = 0; round < 4; round++) {
    const { ram, root, shown } = scene(random);
    const fd = createMemfd("vmsig-find", 4 * MIB);
    using writable = Mapping.map(fd.fd, 0, 4 * MIB, { write: true });
    new Uint8Array(writable.buffer).set(ram.bytes(0, 4 * MIB));
    const file = { fd, sizeBytes: 4 * MIB, huge: false };
    using mapped = new PhysicalMemory(
      new MappedRam("a memfd", [file], [{ gpa: 0, fileOffset: 0, sizeBytes: 4 * MIB, backend: 0 }]),
    );
    using own = new PhysicalMemory(ram);
    for (const memory of [mapped, own]) memory.refresh();
    for (let n = 0; n < 12; n++) {
      const page = shown[random.below(PAGES)];
      const length = [1, 2, 3, 4, 6, 8, 17, 32, 300, PAGE][random.below(10)] as number;
      const from = random.below(PAGE - length + 1);
      const pattern = page === undefined ? new Uint8Array([65, 0, 65]) : page.slice(from, from + length);
      const wanted = plain(shown, pattern);
      for (const memory of [mapped, own]) {
        const space = new AddressSpace(memory, pagingOf(4), root);
        const found = searchMemory(space, pattern, BASE, BASE + PAGES * PAGE, 1e6);
        assertEquals(found.end, "complete");
        // As text: a list of so many is compared quickly.
        assertEquals(found.addresses.join(), wanted.join(), `round ${round}, ${length} bytes`);
        // Read in one go, and page by page, as far as it is mapped.
        const [bulk, plainly] = [new Uint8Array(PAGES * PAGE), new Uint8Array(PAGES * PAGE)];
        const at = BASE + random.below(PAGES * PAGE);
        assertEquals(readBulk(space, at, bulk), space.read(at, plainly));
        assert(bulk.every((byte, i) => byte === plainly[i]), `read at ${at}`);
        const few = searchMemory(space, pattern, BASE, BASE + PAGES * PAGE, 2);
        assertEquals(few.addresses, wanted.slice(0, 2));
      }
    }
  }
});
