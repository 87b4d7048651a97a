/**
 * Random regions behind random page tables: the reader answers one of its three outcomes, never throws, never
 * writes past the frame's bytes, and what it calls fresh is what the slot holds.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { RegionScan } from "../../src/vgpu/discovery.ts";
import { GuestRegion } from "../../src/vgpu/guest_region.ts";
import { MappedRegion } from "../../src/vgpu/mapped_region.ts";
import { ControlState, Cursor, FrameInfo, Geometry, ProducerState } from "../../src/vgpu/snapshots.ts";
import { READ, VgpuRegion } from "../../src/vgpu/vgpu_region.ts";
import { type SeededRandom, withSeed } from "../fixtures/seeded_random.ts";
import { RegionBytes } from "../fixtures/vgpu_bytes.ts";
import { TestGuest } from "../fixtures/vgpu_guest.ts";

const HEADER_FIELDS = [0x08, 0x0c, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x28, 0x2c];
const LIVE_FIELDS = [
  0x40,
  0x48,
  0x80,
  0xc0,
  0x100,
  0x140,
  0x144,
  0x148,
  0x14c,
  0x150,
  0x158,
  0x15c,
  0x168,
  0x1000,
];

/** Numbers that break arithmetic more often than random ones do. */
function nasty(random: SeededRandom): number {
  const few = [0, 1, 2, 3, 4095, 4096, 8192, 0x7fffffff, 0x80000000, 0xfffff000, 0xffffffff, 1 << 27];
  return random.oneIn(3) ? random.u32() : few[random.below(few.length)]!;
}

function useAll(region: VgpuRegion, into: Uint8Array): void {
  const info = new FrameInfo();
  const limit = 8192;
  into.fill(0xee);
  for (
    const result of [
      region.sampleFrame(into.subarray(0, limit), info),
      region.peekFrame(info),
      region.readCursor(new Cursor()),
      region.readGeometry(new Geometry()),
      region.readState(new ProducerState()),
      region.readControl(new ControlState()),
      region.confirmAlive(3),
    ]
  ) assert(result === READ.FRESH || result === READ.NOTHING || result === READ.GONE);
  for (let i = limit; i < into.length; i++) assert(into[i] === 0xee, "nothing past the buffer is written");
}

Deno.test("random headers and slots in a mapping", () => {
  withSeed((random) => {
    const into = new Uint8Array(8192 + 64);
    let opened = 0;
    for (let round = 0; round < 20_000; round++) {
      const bytes = new RegionBytes({ slotStride: 4096 * (1 + random.below(3)) });
      if (random.oneIn(2)) bytes.frame(random.below(2), { frameId: round + 1 });
      for (let n = random.below(4); n > 0; n--) {
        bytes.u32(HEADER_FIELDS[random.below(HEADER_FIELDS.length)]!, nasty(random));
      }
      if (!random.oneIn(4)) bytes.seal();
      const result = VgpuRegion.open(new MappedRegion(bytes.bytes.buffer));
      if (!result.ok) continue;
      opened++;
      const { slotCount, slotStride, regionBytes } = result.region.header;
      assert(slotCount >= 2 && slotCount <= 8 && 0x2000 + slotCount * slotStride <= regionBytes);
      assert(regionBytes <= bytes.bytes.length);
      for (let n = random.below(8); n > 0; n--) {
        bytes.u32(LIVE_FIELDS[random.below(LIVE_FIELDS.length)]!, nasty(random));
      }
      useAll(result.region, into);
    }
    assert(opened > 1000, `${opened} rounds got past the header`);
  });
});

Deno.test("a fresh frame is exactly the slot's bytes, whatever the descriptor says", () => {
  withSeed((random) => {
    const bytes = new RegionBytes({ slotStride: 16384 });
    for (let i = 0x2000; i < bytes.bytes.length; i++) bytes.bytes[i] = random.u32();
    const result = VgpuRegion.open(new MappedRegion(bytes.bytes.buffer));
    assert(result.ok);
    const info = new FrameInfo();
    let fresh = 0;
    for (let round = 0; round < 50_000; round++) {
      const width = 1 + random.below(80);
      const height = 1 + random.below(140);
      const format = random.below(7);
      const slot = random.below(2);
      bytes.frame(slot, { format, width, height, stride: random.below(400), frameId: round + 1 });
      const into = new Uint8Array(16384 + 8).fill(0xee);
      if (result.region.sampleFrame(into, info) !== READ.FRESH) continue;
      fresh++;
      assertEquals(into.subarray(0, info.bytes), bytes.slot(slot).subarray(0, info.bytes));
      for (let i = info.bytes; i < into.length; i++) assert(into[i] === 0xee);
    }
    assert(fresh > 1000, `${fresh} fresh`);
  });
});

Deno.test("page tables that change between two reads, and turn to noise", () => {
  withSeed((random) => {
    const into = new Uint8Array(8192 + 64);
    for (let round = 0; round < 300; round++) {
      const guest = new TestGuest(2 << 20, random.oneIn(2) ? 4 : 5);
      const process = guest.addProcess(7);
      const bytes = new RegionBytes();
      bytes.frame(0);
      const gva = 0x7f00_0000_0000 + random.below(1 << 20) * 4096;
      guest.place(process.root, gva, bytes.bytes);
      const result = VgpuRegion.open(new GuestRegion(guest.space(process.root), gva));
      assert(result.ok);
      useAll(result.region, into);
      for (let n = 0; n < 20; n++) {
        guest.ram.put32(
          process.root + 4 * random.below(4096 * 4 / 4),
          random.oneIn(2) ? nasty(random) : random.u32(),
        );
        result.region.forgetFrames();
        useAll(result.region, into);
      }
      const scan = new RegionScan(guest.os());
      scan.run();
      assert(scan.candidates.length <= 4);
    }
  });
});
