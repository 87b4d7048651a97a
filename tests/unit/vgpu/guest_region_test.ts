// A region behind a guest's page tables: scattered pages, large ones, tables that change under the reader.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { GuestRegion } from "../../../src/vgpu/guest_region.ts";
import { Cursor, FrameInfo } from "../../../src/vgpu/snapshots.ts";
import { READ, VgpuRegion } from "../../../src/vgpu/vgpu_region.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";
import { RegionBytes } from "../../fixtures/vgpu_bytes.ts";
import { TestGuest } from "../../fixtures/vgpu_guest.ts";

// Across a last-level table's border: page 510 of one, so that every slot lies in two.
const GVA = 0x7f00_001f_e000;

function region(guest: TestGuest, root: number, gva = GVA): VgpuRegion {
  const result = VgpuRegion.open(new GuestRegion(guest.space(root), gva));
  assert(result.ok, result.ok ? "" : result.defect);
  return result.region;
}

function pattern(bytes: RegionBytes, slot: number, seed: number): void {
  bytes.slot(slot).forEach((_, i, into) => into[i] = (i * 31 + (i >> 8) * 7 + seed) & 255);
}

for (const levels of [4, 5] as const) {
  Deno.test(`scattered pages are put together, ${levels} levels`, () => {
    const guest = new TestGuest(8 << 20, levels);
    const process = guest.addProcess(5);
    const bytes = new RegionBytes({ slotStride: 16 * 4096 });
    pattern(bytes, 1, 3);
    bytes.frame(1, { width: 100, stride: 500, height: 131 });
    guest.place(process.root, GVA, bytes.bytes);
    const r = region(guest, process.root);
    assertEquals([r.gva, r.root], [GVA, process.root]);
    const info = new FrameInfo();
    const into = new Uint8Array(65501).fill(0xee);
    assertEquals(r.sampleFrame(into, info), READ.FRESH);
    assertEquals(into.subarray(0, 65500), bytes.slot(1).subarray(0, 65500));
    assertEquals(into[65500], 0xee);
  });
}

Deno.test("a region inside a 2 MiB page", () => {
  const guest = new TestGuest(16 << 20);
  const process = guest.addProcess(5);
  const bytes = new RegionBytes();
  pattern(bytes, 0, 9);
  bytes.frame(0);
  const large = guest.largePage(2 << 20);
  guest.map(process.root, 0x4000_0000, large, 0x67, 2 << 20);
  guest.ram.putBytes(large + 5 * 4096, bytes.bytes);
  const r = region(guest, process.root, 0x4000_0000 + 5 * 4096);
  const into = new Uint8Array(2048);
  assertEquals(r.sampleFrame(into, new FrameInfo()), READ.FRESH);
  assertEquals(into, bytes.slot(0).slice(0, 2048));
});

Deno.test("what the walker met last says nothing about the pages of a slot", () => {
  const guest = new TestGuest(16 << 20);
  const process = guest.addProcess(5);
  const bytes = new RegionBytes({ slotStride: 16 * 4096 });
  pattern(bytes, 0, 7);
  bytes.frame(0, { width: 1000, height: 15, stride: 4096 });
  guest.place(process.root, GVA, bytes.bytes);
  guest.map(process.root, 0x4000_0000, guest.largePage(2 << 20), 0x67, 2 << 20);
  const space = guest.space(process.root);
  const result = VgpuRegion.open(new GuestRegion(space, GVA));
  assert(result.ok);
  const into = new Uint8Array(15 * 4096);
  // Absent at each level, and in a large page.
  for (const address of [0x10_0000_0000, 0x7f00_4000_0000, 0x7f00_0000_0000, 0x4000_1000, 0x7f00_0040_0000]) {
    space.probe(address);
    result.region.forgetFrames();
    guest.memory.refresh();
    assertEquals(result.region.sampleFrame(into, new FrameInfo()), READ.FRESH);
    assertEquals(into, bytes.slot(0).slice(0, 15 * 4096));
  }
  const fresh = new GuestRegion(space, GVA);
  space.probe(0x4000_1000);
  const views = fresh.span(0, 0x2000, 15 * 4096)!.views;
  assertEquals(views.length, 15, "every page has a place of its own");
});

Deno.test("pages that the guest moved are found where they are now; the old place is never believed", () => {
  withSeed((random) => {
    const guest = new TestGuest(32 << 20);
    const process = guest.addProcess(5);
    const bytes = new RegionBytes({ slotStride: 64 * 4096 });
    bytes.frame(0, { width: 1024, height: 60, stride: 4096 });
    pattern(bytes, 0, 1);
    const pages = guest.place(process.root, GVA, bytes.bytes);
    const r = region(guest, process.root);
    const info = new FrameInfo();
    const into = new Uint8Array(60 * 4096);
    assertEquals(r.sampleFrame(into, info), READ.FRESH);
    for (let round = 0; round < 40; round++) {
      // One page moves; its old place is overwritten at once, as the guest's kernel would.
      const i = 2 + random.below(64);
      const to = guest.page();
      guest.ram.putBytes(to, bytes.bytes.subarray(i * 4096, (i + 1) * 4096));
      guest.map(process.root, GVA + i * 4096, to);
      guest.ram.putBytes(pages[i] as number, new Uint8Array(4096).fill(0xbd));
      pages[i] = to;
      r.forgetFrames();
      assertEquals(r.sampleFrame(into, info), READ.FRESH);
      assertEquals(into, bytes.slot(0).slice(0, 60 * 4096), `round ${round}, page ${i}`);
    }
  });
});

Deno.test("a moved header page is followed; a lost one is GONE, and so is a lost slot", () => {
  const guest = new TestGuest();
  const process = guest.addProcess(5);
  const bytes = new RegionBytes();
  bytes.u32(0x088, 11);
  bytes.frame(0);
  guest.place(process.root, GVA, bytes.bytes);
  const r = region(guest, process.root);
  const cursor = new Cursor();
  assertEquals([r.readCursor(cursor), cursor.x], [READ.FRESH, 11]);
  bytes.u32(0x088, 12);
  const to = guest.page();
  guest.ram.putBytes(to, bytes.bytes.subarray(0, 4096));
  guest.map(process.root, GVA, to);
  assertEquals([r.readCursor(cursor), cursor.x], [READ.FRESH, 12]);
  guest.unmap(process.root, GVA + 0x2000);
  assertEquals([r.sampleFrame(new Uint8Array(4096), new FrameInfo()), r.why], [READ.GONE, "not-mapped"]);
  guest.unmap(process.root, GVA);
  assertEquals([r.readCursor(cursor), r.why], [READ.GONE, "not-mapped"]);
});

Deno.test("a root whose tables are gone is GONE, wherever the entries lead", () => {
  withSeed((random) => {
    for (let round = 0; round < 200; round++) {
      const guest = new TestGuest(4 << 20);
      const process = guest.addProcess(5);
      const bytes = new RegionBytes();
      bytes.frame(0);
      guest.place(process.root, GVA, bytes.bytes);
      const r = region(guest, process.root);
      // All tables become noise: the process died, and its pages serve others.
      for (let gpa = 4096; gpa < 8 * 4096; gpa += 4) guest.ram.put32(gpa, random.u32() | 1);
      const into = new Uint8Array(4096);
      assertEquals(r.sampleFrame(into, new FrameInfo()), READ.GONE, `round ${round}: ${r.why}`);
    }
  });
});

Deno.test("a page that the host does not hold reads as zeros and is not touched; once held it is read", () => {
  const guest = new TestGuest();
  const process = guest.addProcess(5);
  const bytes = new RegionBytes();
  pattern(bytes, 0, 5);
  bytes.frame(0, { width: 1024, height: 2, stride: 4096 });
  const pages = guest.place(process.root, GVA, bytes.bytes);
  const hole = pages[3] as number;
  guest.ram.setHole(hole, true);
  guest.memory.refresh();
  const r = region(guest, process.root);
  const into = new Uint8Array(8192);
  assertEquals(r.sampleFrame(into, new FrameInfo()), READ.FRESH);
  assertEquals(into.subarray(0, 4096), bytes.slot(0).subarray(0, 4096));
  assert(into.subarray(4096).every((byte) => byte === 0), "the hole's poison does not show");
  guest.ram.setHole(hole, false);
  r.forgetFrames();
  assertEquals(r.sampleFrame(into, new FrameInfo()), READ.FRESH);
  assertEquals(into, bytes.slot(0).slice(0, 8192));
});

Deno.test("a region at the end of the user half ends there", () => {
  const guest = new TestGuest();
  const process = guest.addProcess(5);
  const bytes = new RegionBytes();
  const gva = 2 ** 47 - 4096 * 4;
  guest.place(process.root, gva, bytes.bytes.subarray(0, 4 * 4096));
  const result = VgpuRegion.open(new GuestRegion(guest.space(process.root), gva));
  assertEquals(result.ok ? "accepted" : result.defect, "region-bytes");
});

Deno.test("RAM that was closed is an exception, not a read", () => {
  const guest = new TestGuest();
  const process = guest.addProcess(5);
  const bytes = new RegionBytes();
  bytes.frame(0);
  guest.place(process.root, GVA, bytes.bytes);
  const r = region(guest, process.root);
  guest.memory[Symbol.dispose]();
  assertEquals(r.sampleFrame(new Uint8Array(4096), new FrameInfo()), READ.GONE);
  assertThrows(() => guest.memory.verify());
});
