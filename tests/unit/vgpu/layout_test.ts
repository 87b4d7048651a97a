// The layout: a region built from REGION.md's table (tests/fixtures/vgpu_bytes.ts, offsets spelled out),
// every field read back.
import { assert, assertEquals } from "@std/assert";
import { crc32c } from "../../../src/vgpu/crc32c.ts";
import { MappedRegion } from "../../../src/vgpu/mapped_region.ts";
import { checkHeader, writeHeader } from "../../../src/vgpu/region_header.ts";
import { CONTROL, REGION, SLOT } from "../../../src/vgpu/region_layout.ts";
import { ControlState, Cursor, FrameInfo, Geometry, ProducerState } from "../../../src/vgpu/snapshots.ts";
import { READ, VgpuRegion } from "../../../src/vgpu/vgpu_region.ts";
import { RegionBytes, slowCrc32c } from "../../fixtures/vgpu_bytes.ts";

function opened(bytes: RegionBytes): VgpuRegion {
  const result = VgpuRegion.open(new MappedRegion(bytes.bytes.buffer));
  assert(result.ok, result.ok ? "" : result.defect);
  return result.region;
}

Deno.test("CRC-32C gives the published check value, and agrees with a bitwise one", () => {
  assertEquals(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
  const bytes = Uint8Array.from({ length: 300 }, (_, i) => i * 7 + (i >> 3));
  for (const n of [0, 1, 36, 299]) assertEquals(crc32c(bytes, 0, n), slowCrc32c(bytes.subarray(0, n)));
});

Deno.test("a header from REGION.md's table passes, and ours is the same bytes", () => {
  const region = new RegionBytes({ slotCount: 5, slotStride: 8192, producerPid: 4711, extraBytes: 4096 });
  const check = checkHeader(region.bytes.slice(0, 0x30), region.bytes.length);
  assert(check.ok);
  assertEquals(check.header, {
    regionBytes: 0x2000 + 5 * 8192 + 4096,
    slotCount: 5,
    slotStride: 8192,
    producerPid: 4711,
  });
  const ours = new Uint8Array(0x30);
  writeHeader(ours, check.header);
  assertEquals(ours, region.bytes.slice(0, 0x30));
});

Deno.test("state, cursor, geometry and control block are read from REGION.md's offsets", () => {
  const region = new RegionBytes();
  region.u64(0x040, 0x1_2345_6789);
  [7, 2, 3, 99, 60, 0x3e, 14, 21].forEach((value, i) => region.u32(0x048 + 4 * i, value));
  region.u64(0x068, 987654321987);
  region.u32(0x080, 44);
  region.u32(0x084, 1);
  region.view.setInt32(0x088, -1920, true);
  region.view.setInt32(0x08c, -7, true);
  region.u32(0x090, 3 | 5 << 16);
  region.u32(0x094, 32 | 48 << 16);
  region.u32(0x098, 255);
  region.u32(0x0c0, 8);
  [144, -1920, -1080, 3840, 2160, -10, -20, 59940].forEach((value, i) => region.u32(0x0c4 + 4 * i, value));
  [6, 2, 25, 1, 9].forEach((value, i) => region.u32(0x1000 + 4 * i, value));

  const r = opened(region);
  const state = new ProducerState();
  assertEquals(r.readState(state), READ.FRESH);
  assertEquals({ ...state }, {
    heartbeat: 0x1_2345_6789,
    runEpoch: 7,
    status: 2,
    backend: 3,
    errorCode: 99,
    appliedFps: 60,
    supportedFormats: 0x3e,
    ctrlAck: 14,
    fullFrameAck: 21,
    contentChangeNs: 987654321987,
  });
  assertEquals(r.runEpoch, 7);
  const cursor = new Cursor();
  assertEquals(r.readCursor(cursor), READ.FRESH);
  assertEquals({ ...cursor }, {
    seq: 44,
    visible: true,
    x: -1920,
    y: -7,
    hotX: 3,
    hotY: 5,
    glyphW: 32,
    glyphH: 48,
    id: 255,
  });
  const geometry = new Geometry();
  assertEquals(r.readGeometry(geometry), READ.FRESH);
  assertEquals({ ...geometry }, {
    seq: 8,
    dpi: 144,
    virtX: -1920,
    virtY: -1080,
    virtW: 3840,
    virtH: 2160,
    capX: -10,
    capY: -20,
    refreshMhz: 59940,
  });
  const control = new ControlState();
  assertEquals(r.readControl(control), READ.FRESH);
  assertEquals({ ...control }, {
    ctrlGen: 6,
    desiredState: 2,
    targetFps: 25,
    drawCursor: 1,
    fullFrameReq: 9,
  });
});

Deno.test("a frame's descriptor and bytes come from the slot that latest names", () => {
  const region = new RegionBytes({ slotCount: 8, slotStride: 4096 });
  for (let slot = 0; slot < 8; slot++) {
    region.slot(slot).forEach((_, i, bytes) => bytes[i] = i * 3 + slot);
    region.frame(slot, {
      seq: 2 * slot,
      width: 30,
      height: 16,
      stride: 128,
      format: 3,
      frameId: 2 ** 40 + slot,
      timestampNs: 2 ** 33 + slot,
      damage: [1, 2, 3, 4],
    });
    const r = opened(region);
    const info = new FrameInfo();
    const into = new Uint8Array(2048 + 1).fill(0xee);
    assertEquals(r.sampleFrame(into, info), READ.FRESH);
    assertEquals({ ...info }, {
      width: 30,
      height: 16,
      stride: 128,
      format: 3,
      frameId: 2 ** 40 + slot,
      timestampNs: 2 ** 33 + slot,
      damageX: 1,
      damageY: 2,
      damageW: 3,
      damageH: 4,
      bytes: 2048,
      flags: 0,
      slot,
    });
    assertEquals(into.subarray(0, 2048), region.slot(slot).subarray(0, 2048));
    assertEquals(into[2048], 0xee, "not one byte more");
  }
});

Deno.test("the tables agree with src/vgpu/REGION.md on where each line starts", () => {
  const lines = {
    magic: 0,
    crc: 0x2c,
    heartbeat: 0x40,
    cursorSeq: 0x80,
    geomSeq: 0xc0,
    latest: 0x100,
  } as const;
  for (const [name, at] of Object.entries(lines)) assertEquals(REGION.at[name as keyof typeof lines], at);
  assertEquals(REGION.sizeBytes, 0x140);
  assertEquals(SLOT.sizeBytes, 64);
  assertEquals(SLOT.at.damageH, 52);
  assertEquals(CONTROL.at.consumerAttached, 0x20);
});
