// The ring of frames: read by the region's own reader, sealed against everybody else, never torn.
import "../../ffi/loaded_shim.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Mapping } from "../../../../ffi/mapping.ts";
import { ftruncate, getSeals, OPEN, reopen, SEAL, statFd } from "../../../../ffi/memfd.ts";
import { OsError } from "../../../../ffi/os_error.ts";
import { FrameRing } from "../../../../src/controls/perception/frame_ring.ts";
import type { FrameSource } from "../../../../src/vgpu/frame_source.ts";
import { MappedRegion } from "../../../../src/vgpu/mapped_region.ts";
import { Cursor, FrameInfo, Geometry, ProducerState } from "../../../../src/vgpu/snapshots.ts";
import { READ, type ReadResult, type ReadWhy, VgpuRegion } from "../../../../src/vgpu/vgpu_region.ts";

/** A source that gives what it is told to. */
class Fake implements FrameSource {
  why: ReadWhy = "";
  id = 0;
  result: ReadResult = READ.FRESH;
  onSample: () => void = () => {};
  sampleFrame(into: Uint8Array, info: FrameInfo): ReadResult {
    into.fill(this.id & 255, 0, 4096);
    this.onSample();
    if (this.result !== READ.FRESH) return this.result;
    info.assign(
      Object.assign(new FrameInfo(), {
        width: 32,
        height: 32,
        stride: 128,
        format: 1,
        frameId: this.id,
        timestampNs: 10 * this.id,
        bytes: 4096,
        damageW: 32,
        damageH: 32,
      }),
    );
    return READ.FRESH;
  }
  forgetFrames(): void {}
  close(): void {}
}

function reader(ring: FrameRing): { region: VgpuRegion; mapping: Mapping } {
  const mapping = Mapping.map(ring.fd, 0, ring.bytes, { write: false });
  const opened = VgpuRegion.open(new MappedRegion(mapping.buffer));
  assert(opened.ok, opened.ok ? "" : opened.defect);
  return { region: opened.region, mapping };
}

Deno.test("frames, state, cursor and geometry come out as they went in", () => {
  using ring = FrameRing.create(4096, 4711);
  const { region, mapping } = reader(ring);
  using _mapping = mapping;
  assertEquals(region.header, { regionBytes: ring.bytes, slotCount: 3, slotStride: 4096, producerPid: 4711 });
  const info = new FrameInfo();
  const into = new Uint8Array(4096);
  assertEquals([region.sampleFrame(into, info), region.why], [READ.NOTHING, "none-yet"]);
  const source = new Fake();
  for (source.id = 1; source.id < 20; source.id++) {
    assertEquals(ring.take(source, info), READ.FRESH);
    const seen = new FrameInfo();
    assertEquals(region.sampleFrame(into, seen), READ.FRESH);
    assertEquals([seen.frameId, seen.timestampNs, seen.width, seen.stride], [
      source.id,
      10 * source.id,
      32,
      128,
    ]);
    assert(into.every((byte) => byte === source.id));
  }
  const state = Object.assign(new ProducerState(), {
    runEpoch: 5,
    status: 2,
    appliedFps: 30,
    contentChangeNs: 2 ** 40 + 1,
  });
  ring.beat(state);
  const out = new ProducerState();
  assertEquals(region.readState(out), READ.FRESH);
  assertEquals({ ...out, heartbeat: 0 }, { ...state });
  assertEquals(region.confirmAlive(out.heartbeat), READ.NOTHING);
  ring.beat(state);
  assertEquals(region.confirmAlive(out.heartbeat), READ.FRESH);
  const cursor = Object.assign(new Cursor(), {
    visible: true,
    x: -5,
    y: 7,
    hotX: 1,
    hotY: 2,
    glyphW: 3,
    glyphH: 4,
    id: 5,
  });
  ring.showCursor(cursor);
  const seenCursor = new Cursor();
  assertEquals(region.readCursor(seenCursor), READ.FRESH);
  assertEquals({ ...seenCursor, seq: 0 }, { ...cursor });
  const geometry = Object.assign(new Geometry(), {
    dpi: 96,
    virtX: -1,
    virtY: -2,
    virtW: 3,
    virtH: 4,
    capX: 5,
    capY: -6,
    refreshMhz: 7,
  });
  ring.showGeometry(geometry);
  const seenGeometry = new Geometry();
  assertEquals(region.readGeometry(seenGeometry), READ.FRESH);
  assertEquals({ ...seenGeometry, seq: 0 }, { ...geometry });
});

Deno.test("a source without a new frame leaves the last one; a consumer that lingers in that slot is not given a mixture", () => {
  using ring = FrameRing.create(4096, 1);
  const { region, mapping } = reader(ring);
  using _mapping = mapping;
  const source = new Fake();
  const info = new FrameInfo();
  source.id = 1;
  ring.take(source, info);
  source.id = 2;
  source.result = READ.GONE;
  assertEquals(ring.take(source, info), READ.GONE);
  const into = new Uint8Array(4096);
  assertEquals([region.sampleFrame(into, info), info.frameId, into[0]], [READ.FRESH, 1, 1]);
  // While a slot is written, the newest frame is still the last one.
  source.result = READ.FRESH;
  source.id = 3;
  source.onSample = () => {
    region.forgetFrames();
    assertEquals([region.sampleFrame(into, info), info.frameId], [READ.FRESH, 1]);
  };
  ring.take(source, new FrameInfo());
  assertEquals([region.sampleFrame(into, info), info.frameId], [READ.FRESH, 3]);
});

Deno.test("nobody who has the descriptor can resize it or write to it, re-opened or not", () => {
  using ring = FrameRing.create(4096, 1);
  const seals = SEAL.SHRINK | SEAL.GROW | SEAL.FUTURE_WRITE | SEAL.SEAL;
  assertEquals(getSeals(ring.fd) & seals, seals);
  assertThrows(() => Mapping.map(ring.fd, 0, 4096, { write: true }), OsError, "EACCES");
  using again = reopen(ring.fd, OPEN.READ_WRITE);
  assertThrows(() => Mapping.map(again.fd, 0, 4096, { write: true }), OsError, "EPERM");
  for (const size of [0, ring.bytes * 2]) assertThrows(() => ftruncate(again.fd, size), OsError, "EPERM");
  assertEquals(statFd(ring.fd).sizeBytes, ring.bytes);
});
