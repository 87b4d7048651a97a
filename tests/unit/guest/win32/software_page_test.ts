/**
 * Pages that a Windows page table says are not present, and that are in RAM all the same.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { findWindows } from "../../../../src/guest/win32/find_windows.ts";
import type { AddressSpace } from "../../../../src/guest/address_space.ts";
import { BUILD_19045, WindowsImage } from "../../../fixtures/windows_image.ts";

const PAGE = 0x1a0_00001000n;
const READWRITE = 4n << 5n;

interface Rig {
  readonly image: WindowsImage;
  readonly space: AddressSpace;
  /** Where the page's bytes are. */
  readonly gpa: number;
  /** Stores the page's entry. */
  readonly entry: (value: bigint) => void;
}

function rig(levels: 4 | 5): Rig {
  const image = new WindowsImage({ layout: BUILD_19045, levels });
  const result = findWindows(image.memory);
  assert(result.found);
  const process = result.os.process(4120);
  assert(process !== undefined);
  const { root } = image.process("explorer.exe");
  const gpa = image.tables.translate(root, PAGE);
  assert(gpa !== undefined);
  image.ram.putText(gpa, "still here");
  return {
    image,
    space: result.os.spaceOf(process),
    gpa,
    entry: (value) => image.tables.entry(root, PAGE, value),
  };
}

const textAt = (space: AddressSpace): string | undefined => space.cstring(Number(PAGE));

for (const levels of [4, 5] as const) {
  Deno.test(`${levels} levels: a page in transition reads, and allows nothing`, () => {
    const { space, gpa, entry } = rig(levels);
    assertEquals(textAt(space), "still here");
    entry(BigInt(gpa) | 0x800n | READWRITE);
    assertEquals(textAt(space), "still here");
    const page = space.probe(Number(PAGE));
    assert(page.ok);
    assertEquals([page.gpa, page.pageBytes, page.writable, page.user], [gpa, 4096, false, false]);
    // Bit 45 is what the L1TF mitigation sets, no address.
    entry(BigInt(gpa) | 0x800n | READWRITE | 1n << 45n);
    assertEquals(textAt(space), "still here");
    const runs = space.runs(Number(PAGE), 4096);
    assertEquals([runs.ok, runs.runs.some((run) => run.writable)], [true, false]);
  });

  Deno.test(`${levels} levels: a prototype leads to a page that is present or in transition`, () => {
    const { image, space, gpa, entry } = rig(levels);
    const prototype = image.pool.allocate(16, "MmSt");
    entry((prototype & 0xffff_ffff_ffffn) << 16n | 0x400n);
    image.poke(prototype, BigInt(gpa) | 0x121n);
    assertEquals(textAt(space), "still here");
    image.poke(prototype, BigInt(gpa) | 0x800n | READWRITE);
    assertEquals(textAt(space), "still here");
    // A file's page that was not read, a page file's, demand zero, and a prototype's prototype.
    const nowhere = [
      (prototype & 0xffff_ffff_ffffn) << 16n | 0x400n,
      BigInt(gpa) | READWRITE | 0x4n,
      READWRITE,
      BigInt(gpa) | 0xc00n,
      0n,
    ];
    for (const value of nowhere) {
      image.poke(prototype, value);
      assertEquals(space.probe(Number(PAGE)), { ok: false, reason: "not-present" }, value.toString(16));
    }
  });
}

Deno.test("an entry that leads nowhere is not resident", () => {
  const { image, space, gpa, entry } = rig(4);
  const prototype = image.pool.allocate(16, "MmSt");
  image.poke(prototype, BigInt(gpa) | 0x121n);
  const good = (prototype & 0xffff_ffff_ffffn) << 16n | 0x400n;
  entry(good);
  assertEquals(textAt(space), "still here");
  const values = [
    0n,
    READWRITE,
    0x1234n << 32n | READWRITE,
    // Both a prototype and in transition is a prototype; at an address in the user half it is none.
    good & ~(1n << 63n),
    good | 1n << 16n,
    // An unmapped prototype, and "look it up in the VAD".
    0xb00f_7fff_0000n << 16n | 0x400n,
    0xffff_ffff_0000n << 16n | 0x400n,
  ];
  // The last one and the one in the user half would lead to the page, were they followed.
  const page = image.tables.translate(image.kernelRoot, prototype) ?? 0;
  image.tables.map(image.kernelRoot, 0xffff_ffff_ffff_0000n, page - page % 4096, {});
  image.poke(0xffff_ffff_ffff_0000n, BigInt(gpa) | 0x121n);
  image.tables.map(image.kernelRoot, prototype & 0x7fff_ffff_f000n, page - page % 4096, {});
  assertEquals(space.probe(Number(PAGE)).ok, true);
  for (const value of values) {
    entry(value);
    assertEquals(space.probe(Number(PAGE)), { ok: false, reason: "not-present" }, value.toString(16));
  }
});

Deno.test("a transition entry that names no RAM says so", () => {
  const { space, entry } = rig(4);
  for (const frame of [0x7fff_ffffn, 0x4_0000_0000n]) {
    entry(frame << 12n | 0x800n);
    assertEquals(textAt(space), undefined);
    assertEquals(space.read(Number(PAGE), new Uint8Array(8)), 0);
  }
});

Deno.test("a read runs from a present page into one in transition", () => {
  const { image, space, gpa, entry } = rig(4);
  entry(BigInt(gpa) | 0x800n | READWRITE);
  const { root } = image.process("explorer.exe");
  image.tables.pokeBytes(root, PAGE - 4n, new TextEncoder().encode("and "));
  assertEquals(space.cstring(Number(PAGE) - 4), "and still here");
});
