/** Address spaces: strings, words at odd places, software pages, search and reverse look-up. @module */
import { assert, assertEquals } from "@std/assert";
import { AddressSpace } from "../../../src/guest/address_space.ts";
import { searchMemory } from "../../../src/guest/memory_search.ts";
import { kernelHalf, reverseLookup, scanPages, userHalf } from "../../../src/guest/page_scan.ts";
import { pagingOf, WALK } from "../../../src/guest/paging.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import { SyntheticRam } from "../../../src/guest/synthetic_ram.ts";
import { TableBuilder } from "../../fixtures/table_builder.ts";

const PAGE = 4096;
const MIB = 2 ** 20;

function make(
  levels: 4 | 5 = 4,
): { ram: SyntheticRam; tables: TableBuilder; space: AddressSpace; root: number } {
  const ram = new SyntheticRam([{ gpa: 0, sizeBytes: 8 * MIB }]);
  const tables = new TableBuilder(ram, pagingOf(levels), 4 * MIB);
  const root = tables.page();
  const memory = new PhysicalMemory(ram);
  memory.refresh();
  return { ram, tables, root, space: new AddressSpace(memory, pagingOf(levels), root) };
}

Deno.test("strings end at their NUL, at the bound, or nowhere when a page is missing", () => {
  const { ram, tables, space, root } = make();
  tables.map(root, 0x1000, 0x5000);
  tables.map(root, 0x2000, 0x3000);
  ram.putText(0x5ffd, "abc");
  ram.putText(0x3000, "déf");
  assertEquals(space.cstring(0x1ffd), "abcdéf");
  assertEquals(space.cstring(0x1ffd, 4), "abcd");
  assertEquals(space.cstring(0x2fff), "");
  ram.bytes(0x3ffc, 4).fill(65);
  assertEquals(space.cstring(0x2ffc), undefined);
  assertEquals(space.cstring(0x2ffc, 4), "AAAA");
  assertEquals(space.cstring(0x9000), undefined);
  // Bytes that are not UTF-8 stay apart, here and where the bound cuts a character.
  for (const byte of [0x80, 0xff]) {
    ram.putBytes(0x3100, new Uint8Array([0x61, byte, 0x62, 0]));
    assertEquals(space.cstring(0x2100), `a${String.fromCharCode(0xdc00 + byte)}b`);
  }
  ram.putText(0x3200, "aé");
  assertEquals(space.cstring(0x2200, 2), "a\udcc3");
});

Deno.test("a root 16 GiB higher is another table, not this one with its index wrapped", () => {
  for (const levels of [4, 5] as const) {
    const { tables, space, root } = make(levels);
    tables.map(root, 0x1000, 0x5000);
    assertEquals(space.translate(0x1000), 0x5000);
    for (const gib of [2, 4, 8, 16, 32, 64, 4096]) {
      const other = space.withRoot(root + gib * 2 ** 30);
      assert(
        other.translate(0x1000) < 0 && other.frameAt(0, 0x1000) < 0 && !other.load64(0x1000),
        `${gib} GiB`,
      );
    }
  }
});

Deno.test("words across pages and 4 GiB borders, in both halves, signed and not", () => {
  const { ram, tables, space, root } = make();
  for (
    const [gva, gpa] of [[0xffff_f000, 0x5000], [0x1_0000_0000, 0x3000], [-0x1000, 0x7000], [
      -0x8000_0000,
      0x9000,
    ]] as const
  ) {
    tables.map(root, gva, gpa);
  }
  ram.put32(0x5ffc, 0x8000_0001);
  ram.put32(0x3000, 0xffff_fffe);
  assertEquals(space.readS64(0xffff_fffc), -2 * 2 ** 32 + 0x8000_0001);
  assertEquals(space.readU32(0xffff_f000, 0xffc), 0x8000_0001);
  assertEquals(space.readS32(0xffff_f000, 0xffc), 0x8000_0001 | 0);
  assertEquals(space.readU32(0xffff_f000, 0x1000), 0xffff_fffe);
  assertEquals(space.readU16(0xffff_f000, 0xfff), 0xfe80);
  ram.put64(0x7ff8, 0x1234, 0x5678);
  assertEquals(space.readU64(-8), 0x1234 * 2 ** 32 + 0x5678);
  assert(Number.isNaN(space.readU32(-4, 4)), "the address space does not wrap round to 0");
  assertEquals(space.readU8(-0x8000_0000, 3), 0);
  assertEquals([space.readU8(0x7000_0000), space.failure], [NaN, WALK.notPresent]);
  assertEquals([space.readU8(2 ** 47), space.failure], [NaN, WALK.nonCanonical]);
});

Deno.test("under 5 levels fields are found by base and offset where a double is not exact", () => {
  const { ram, tables, space, root } = make(5);
  const base = -(0xef * 2 ** 48);
  tables.map(root, base, 0x5000);
  for (let i = 0; i < 64; i += 4) ram.put32(0x5000 + i, i);
  for (let i = 0; i < 64; i += 4) assertEquals(space.readU32(base, i), i);
  assertEquals(space.readU8(base, 13), 0);
});

Deno.test("entries that are not present are given to the system's software", () => {
  const { ram, tables, space, root } = make();
  tables.map(root, 0x40_0000, 0x5000);
  ram.put64(
    space.walker.explain(space.rootFrame, 0, 0x40_0000) >= 0 ? space.walker.tableFrame * PAGE : 0,
    0,
    0x5800,
  );
  ram.putText(0x5000, "soft");
  const asked: number[][] = [];
  const soft = new AddressSpace(space.memory, space.paging, root, (entryHi, entryLo, hi, lo) => {
    asked.push([entryHi, entryLo, hi, lo]);
    return entryLo === 0x5800 ? 5 : WALK.notPresent;
  });
  assertEquals(space.translate(0x40_0000), WALK.notPresent);
  assertEquals(soft.translate(0x40_0000), 0x5000);
  assertEquals(soft.cstring(0x40_0000), "soft");
  assertEquals(asked[0], [0, 0x5800, 0, 0x40_0000]);
  assertEquals(soft.translate(0x9000_0000), WALK.notPresent, "no table, no software page");
  assertEquals(soft.withRoot(root).translate(0x40_0000), 0x5000);
});

Deno.test("a search finds matches across pages, not across gaps, and stays in its range", () => {
  const { ram, tables, space, root } = make();
  // Neighbours in the address space, apart in RAM; a gap; a large page.
  tables.map(root, 0x10000, 0x9000);
  tables.map(root, 0x11000, 0x5000);
  tables.map(root, 0x13000, 0x7000);
  tables.map(root, 0x40_0000, 2 * MIB, { shift: 21 });
  ram.putText(0x9ffd, "ne");
  ram.bytes(0x9fff, 1)[0] = 101;
  ram.putText(0x5000, "dle needle");
  ram.putText(0x7000, "needle");
  ram.putText(2 * MIB + 5 * PAGE - 2, "needle");
  const needle = new TextEncoder().encode("needle");
  const find = (from: number, to: number, limit?: number) => searchMemory(space, needle, from, to, limit);
  assertEquals(find(0, 2 ** 47), { addresses: [0x10ffd, 0x11004, 0x13000, 0x40_4ffe], end: "complete" });
  assertEquals(find(0x10ffe, 0x13006).addresses, [0x11004, 0x13000]);
  assertEquals(find(0, 0x13005).addresses, [0x10ffd, 0x11004]);
  assertEquals(find(0, 2 ** 47, 2), { addresses: [0x10ffd, 0x11004], end: "stopped" });
  ram.setHole(0x5000, true);
  space.memory.refresh();
  assertEquals(
    find(0, 2 ** 47).addresses,
    [0x13000, 0x40_4ffe],
    "a hole is not looked at, and breaks a match",
  );
});

Deno.test("reverse look-up finds each address of a page, in small and large pages of both halves", () => {
  const { tables, space, root } = make();
  tables.map(root, 0x1000, 0x40_0000);
  tables.map(root, 0x7fff_ffff_f000, 0x40_0000, { user: true });
  tables.map(root, -0x4000_0000, 4 * MIB, { shift: 21 });
  const user = userHalf(space);
  const kernel = kernelHalf(space);
  assertEquals(reverseLookup(space, 0x40_0123, user.from, user.to).addresses, [0x1123, 0x7fff_ffff_f123]);
  assertEquals(reverseLookup(space, 0x40_0123, kernel.from, kernel.to).addresses, [-0x4000_0000 + 0x123]);
  assertEquals(reverseLookup(space, 0x7_0000, user.from, user.to).addresses, []);
});

Deno.test("a table that names itself at every level: the scan is bounded and says so", () => {
  const { ram, space, root } = make();
  for (let i = 0; i < 512; i++) ram.put64(root + 8 * i, 0, root | 7);
  let pages = 0;
  const { from, to } = userHalf(space);
  assertEquals(scanPages(space, from, to, () => ++pages >= 100_000), "stopped");
  assertEquals(space.translate(0x1234_5678_9abc), root + 0xabc, "it is a legal mapping, though");
});
