// The reader's three outcomes over every state a header, a slot and a seqlock can be in.
import { assert, assertEquals } from "@std/assert";
import { MappedRegion } from "../../../src/vgpu/mapped_region.ts";
import type { RegionMemory, SlotSpan } from "../../../src/vgpu/region_memory.ts";
import { Cursor, FrameInfo, Geometry, ProducerState } from "../../../src/vgpu/snapshots.ts";
import { READ, VgpuRegion } from "../../../src/vgpu/vgpu_region.ts";
import { RegionBytes } from "../../fixtures/vgpu_bytes.ts";

function opened(memory: RegionMemory): VgpuRegion {
  const result = VgpuRegion.open(memory);
  assert(result.ok, result.ok ? "" : result.defect);
  return result.region;
}

function rig(): { bytes: RegionBytes; region: VgpuRegion; info: FrameInfo; into: Uint8Array } {
  const bytes = new RegionBytes();
  const region = opened(new MappedRegion(bytes.bytes.buffer));
  return { bytes, region, info: new FrameInfo(), into: new Uint8Array(16384) };
}

Deno.test("each hostile field of the header is refused by its name, CRC right or not", () => {
  const cases: readonly [offset: number, value: number, defect: string][] = [
    [0x000, 0x12345678, "magic"],
    [0x004, 0, "magic"],
    [0x008, 0, "version"],
    [0x008, 2, "version"],
    [0x00c, 0x1000, "offsets"],
    [0x018, 0xfffff000, "offsets"],
    [0x018, 0, "offsets"],
    [0x01c, 0x2001, "offsets"],
    [0x020, 0, "slot-count"],
    [0x020, 1, "slot-count"],
    [0x020, 9, "slot-count"],
    [0x020, 0xffffffff, "slot-count"],
    [0x024, 0, "slot-stride"],
    [0x024, 4095, "slot-stride"],
    [0x024, 0xfffff000, "slot-stride"],
    [0x024, 128 * 1024 * 1024 + 4096, "slot-stride"],
    [0x024, 32768, "region-bytes"],
    [0x010, 0, "region-bytes"],
    [0x014, 0xffffffff, "region-bytes"],
    [0x014, 1, "region-bytes"],
  ];
  for (const [offset, value, defect] of cases) {
    const region = new RegionBytes();
    region.u32(offset, value);
    region.seal();
    const result = VgpuRegion.open(new MappedRegion(region.bytes.buffer));
    assertEquals(result.ok ? "accepted" : result.defect, defect, `0x${offset.toString(16)} = ${value}`);
  }
  const region = new RegionBytes();
  region.u32(0x02c, 1);
  const result = VgpuRegion.open(new MappedRegion(region.bytes.buffer));
  assertEquals(result.ok ? "accepted" : result.defect, "crc");
});

Deno.test("no frame yet, a fresh one, the same again, an older one, after forgetting", () => {
  const { bytes, region, info, into } = rig();
  assertEquals([region.sampleFrame(into, info), region.why], [READ.NOTHING, "none-yet"]);
  bytes.frame(0, { frameId: 5 });
  assertEquals([region.peekFrame(info), region.lastFrameId], [READ.FRESH, 0]);
  assertEquals([region.sampleFrame(into, info), region.why], [READ.FRESH, ""]);
  assertEquals([region.sampleFrame(into, info), region.why], [READ.NOTHING, "same"]);
  assertEquals([region.peekFrame(info), region.why], [READ.NOTHING, "same"]);
  bytes.frame(1, { frameId: 4 });
  assertEquals([region.sampleFrame(into, info), region.why], [READ.NOTHING, "same"]);
  region.forgetFrames();
  assertEquals([region.sampleFrame(into, info), info.frameId], [READ.FRESH, 4]);
});

Deno.test("a slot that is always being written is busy, not an error and not for ever", () => {
  const { bytes, region, info, into } = rig();
  bytes.frame(0, { seq: 7 });
  assertEquals([region.sampleFrame(into, info), region.why], [READ.NOTHING, "busy"]);
  assertEquals([region.peekFrame(info), region.why], [READ.NOTHING, "busy"]);
  bytes.u32(0x080, 1);
  bytes.u32(0x0c0, 1);
  assertEquals([region.readCursor(new Cursor()), region.why], [READ.NOTHING, "busy"]);
  assertEquals([region.readGeometry(new Geometry()), region.why], [READ.NOTHING, "busy"]);
  assertEquals(region.readState(new ProducerState()), READ.FRESH);
});

Deno.test("a latest out of range and a descriptor that lies are malformed, and nothing is copied", () => {
  const frames = [
    { stride: 0 },
    { stride: 0xffffffff },
    { stride: 127 },
    { width: 0 },
    { height: 0 },
    { width: 0xffffffff },
    { height: 0xffffffff },
    { height: 129 },
    { width: 0x40000020, stride: 128 },
    { width: 0x10000, height: 0x10000, stride: 0x40000 },
    { format: 0 },
    { format: 6 },
    { format: 0xffffffff },
    { format: 5, width: 31 },
    { format: 5, height: 15 },
    { format: 5, height: 86, stride: 128 },
    { frameId: 0 },
    { frameId: 2 ** 60 },
  ];
  for (const frame of frames) {
    const { bytes, region, info, into } = rig();
    bytes.frame(0, frame);
    assertEquals(
      [region.sampleFrame(into, info), region.why],
      [READ.NOTHING, "malformed"],
      JSON.stringify(frame),
    );
    assert(into.every((byte) => byte === 0));
  }
  for (const latest of [2, 8, 0x7fffffff, 0xfffffffe]) {
    const { bytes, region, info, into } = rig();
    bytes.frame(0);
    bytes.u32(0x100, latest);
    assertEquals([region.sampleFrame(into, info), region.why], [READ.NOTHING, "malformed"]);
  }
});

Deno.test("formats: the largest frame that fits a slot is taken, NV12 counts three halves", () => {
  for (
    const [format, width, height, stride, bytes] of [
      [1, 32, 128, 128, 16384],
      [4, 64, 128, 128, 16384],
      [5, 128, 84, 128, 16128],
    ] as const
  ) {
    const { bytes: r, region, info, into } = rig();
    r.frame(0, { format, width, height, stride });
    assertEquals([region.sampleFrame(into, info), info.bytes], [READ.FRESH, bytes]);
  }
});

Deno.test("a frame larger than the caller's buffer is skipped, and the buffer is not touched", () => {
  const { bytes, region, info } = rig();
  bytes.frame(0);
  bytes.slot(0).fill(9);
  const small = new Uint8Array(2047);
  assertEquals([region.sampleFrame(small, info), region.why], [READ.NOTHING, "too-large"]);
  assert(small.every((byte) => byte === 0));
});

Deno.test("damage is clipped to the frame; none, empty or outside means all of it", () => {
  const cases: readonly [readonly number[], readonly number[]][] = [
    [[0, 0, 0, 0], [0, 0, 32, 16]],
    [[1, 2, 3, 4], [1, 2, 3, 4]],
    [[-5, -5, 10, 10], [0, 0, 5, 5]],
    [[30, 14, 100, 100], [30, 14, 2, 2]],
    [[40, 0, 5, 5], [0, 0, 32, 16]],
    [[0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff], [0, 0, 32, 16]],
    [[0, 0, -1, 4], [0, 0, 32, 16]],
  ];
  for (const [damage, expected] of cases) {
    const { bytes, region, info, into } = rig();
    bytes.frame(0, { damage });
    assertEquals(region.sampleFrame(into, info), READ.FRESH);
    assertEquals([info.damageX, info.damageY, info.damageW, info.damageH], [...expected]);
  }
});

Deno.test("a header that changed after it was checked makes every read GONE", () => {
  for (const offset of [0x000, 0x010, 0x020, 0x024, 0x028, 0x02c]) {
    const { bytes, region, info, into } = rig();
    bytes.frame(0);
    bytes.u32(offset, bytes.view.getUint32(offset, true) ^ 8);
    assertEquals([region.sampleFrame(into, info), region.why], [READ.GONE, "replaced"]);
    assertEquals(region.readCursor(new Cursor()), READ.GONE);
    assertEquals(region.readGeometry(new Geometry()), READ.GONE);
    assertEquals(region.readState(new ProducerState()), READ.GONE);
    assertEquals(region.confirmAlive(0), READ.GONE);
  }
});

Deno.test("a closed region answers GONE", () => {
  const { bytes, region, info, into } = rig();
  bytes.frame(0);
  region.close();
  assertEquals([region.sampleFrame(into, info), region.why], [READ.GONE, "closed"]);
});

Deno.test("alive means that the heartbeat has moved", () => {
  const { bytes, region } = rig();
  bytes.u64(0x040, 2 ** 32 - 1);
  assertEquals(region.confirmAlive(2 ** 32 - 1), READ.NOTHING);
  bytes.u64(0x040, 2 ** 32);
  assertEquals(region.confirmAlive(2 ** 32 - 1), READ.FRESH);
});

/** Runs something of the test's at a chosen moment of a read: between a copy and the second look, for one. */
class Meddling implements RegionMemory {
  readonly gva = 0;
  readonly root = 0;
  readonly #inner: MappedRegion;
  onLook: () => void = () => {};
  onIntact: () => boolean = () => true;
  forgotten = 0;
  constructor(bytes: RegionBytes) {
    this.#inner = new MappedRegion(bytes.bytes.buffer);
  }
  get roomBytes(): number {
    return this.#inner.roomBytes;
  }
  get words(): Int32Array {
    return this.#inner.words;
  }
  get wordBase(): number {
    return this.#inner.wordBase;
  }
  locate(pageOffset: number): boolean {
    this.onLook();
    return this.#inner.locate(pageOffset);
  }
  span(slot: number, offset: number, sizeBytes: number): SlotSpan | undefined {
    const span = this.#inner.span(slot, offset, sizeBytes);
    return span && { views: span.views, intact: () => this.onIntact() };
  }
  forget(slot: number): void {
    this.forgotten++;
    this.#inner.forget(slot);
  }
}

Deno.test("a slot written during the copy is copied again, and given up after so many times", () => {
  const bytes = new RegionBytes();
  const memory = new Meddling(bytes);
  const region = opened(memory);
  bytes.frame(0);
  const info = new FrameInfo();
  const into = new Uint8Array(16384);
  let copies = 0;
  memory.onIntact = () => {
    copies++;
    bytes.u32(0x140, 2 + 2 * copies);
    return true;
  };
  assertEquals([region.sampleFrame(into, info), region.why], [READ.NOTHING, "busy"]);
  assert(copies > 1 && copies <= 64, `${copies} copies`);
  memory.onIntact = () => {
    if (++copies % 2 === 0) bytes.u32(0x140, 4 * copies);
    return true;
  };
  assertEquals(region.sampleFrame(into, info), READ.FRESH);
});

Deno.test("a frame copied through a translation that no longer holds is not valid, however quiet its seqlock", () => {
  const bytes = new RegionBytes();
  const memory = new Meddling(bytes);
  const region = opened(memory);
  bytes.frame(0);
  memory.onIntact = () => false;
  assertEquals([region.sampleFrame(new Uint8Array(16384), new FrameInfo()), region.why], [
    READ.NOTHING,
    "busy",
  ]);
  assert(memory.forgotten > 0, "what was kept is forgotten");
});

Deno.test("a header replaced during the copy is GONE", () => {
  const bytes = new RegionBytes();
  const memory = new Meddling(bytes);
  const region = opened(memory);
  bytes.frame(0);
  memory.onIntact = () => {
    bytes.u32(0x028, 1);
    return true;
  };
  assertEquals([region.sampleFrame(new Uint8Array(16384), new FrameInfo()), region.why], [
    READ.GONE,
    "replaced",
  ]);
});

Deno.test("a frame that is read where it lies: read again when it was replaced meanwhile, gone, never whole", () => {
  const { bytes, region, info } = rig();
  assertEquals([region.readFrame(info, () => assert(false)), region.why], [READ.NOTHING, "none-yet"]);
  bytes.frame(0, { frameId: 5 });
  bytes.slot(0).fill(1);
  bytes.slot(1).fill(2);
  let seen: number[] = [];
  const take = (views: readonly Uint8Array[]) => seen.push(views[0]?.[0] as number);
  assertEquals([region.readFrame(info, take), info.frameId, region.why, seen], [READ.FRESH, 5, "", [1]]);
  assertEquals([region.readFrame(info, take), region.why], [READ.NOTHING, "same"]);
  region.forgetFrames();
  seen = [];
  const replaced = region.readFrame(info, (views) => {
    take(views);
    // The slot is written again, and another one is the newest.
    if (seen.length === 1) {
      bytes.frame(0, { frameId: 8, seq: 9 });
      bytes.frame(1, { frameId: 9 });
    }
  });
  assertEquals([replaced, info.frameId, region.lastFrameId, seen], [READ.FRESH, 9, 9, [1, 2]]);
  region.forgetFrames();
  let seq = 10;
  const never = region.readFrame(info, () => bytes.frame(1, { frameId: 9, seq: seq += 2 }));
  assertEquals([never, region.why, region.lastFrameId], [READ.NOTHING, "busy", 0]);
  assertEquals([region.readFrame(info, () => bytes.u32(0x000, 1)), region.why], [READ.GONE, "replaced"]);
});
