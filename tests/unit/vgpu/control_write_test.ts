// The control write: its bytes, its address, its wire form, and when it counts as applied.
import { assert, assertEquals } from "@std/assert";
import {
  buildControlWrite,
  encodeControlWrite,
  isApplied,
  isFullFrameDone,
} from "../../../src/vgpu/control_write.ts";
import { GuestRegion } from "../../../src/vgpu/guest_region.ts";
import { ControlState, ProducerState } from "../../../src/vgpu/snapshots.ts";
import { READ, VgpuRegion } from "../../../src/vgpu/vgpu_region.ts";
import { RegionBytes } from "../../fixtures/vgpu_bytes.ts";
import { TestGuest } from "../../fixtures/vgpu_guest.ts";

const GVA = 0x7fff_ffe0_0000;

function rig() {
  const guest = new TestGuest();
  const process = guest.addProcess(5);
  const bytes = new RegionBytes();
  const pages = guest.place(process.root, GVA, bytes.bytes);
  const opened = VgpuRegion.open(new GuestRegion(guest.space(process.root), GVA));
  assert(opened.ok);
  return { guest, region: opened.region, root: process.root, control: pages[1]! };
}

Deno.test("what is left out stays as it is; the edge counter wraps", () => {
  const { guest, region, control } = rig();
  [4, 2, 25, 1, 0xffffffff].forEach((value, i) => guest.ram.put32(control + 4 * i, value));
  const current = new ControlState();
  assertEquals(region.readControl(current), READ.FRESH);
  const words = (source: Uint8Array) => [...new Uint32Array(source.buffer)];
  assertEquals(words(buildControlWrite(region, current, {}).source), [2, 25, 1, 0xffffffff]);
  assertEquals(
    words(
      buildControlWrite(region, current, {
        desiredState: 1,
        targetFps: 60,
        drawCursor: false,
        fullFrame: true,
      }).source,
    ),
    [1, 60, 0, 0],
  );
});

Deno.test("on the wire: sequence word, length, flags INLINE|CR3|SEQLOCK, root, source", () => {
  const { region, root } = rig();
  const write = buildControlWrite(region, new ControlState(), {
    desiredState: 2,
    targetFps: 7,
    fullFrame: true,
  });
  const inline = new Uint8Array(48);
  encodeControlWrite(write, new DataView(inline.buffer));
  const view = new DataView(inline.buffer);
  assertEquals(view.getBigUint64(0, true), BigInt(GVA) + 0x1000n);
  assertEquals([view.getUint32(8, true), view.getUint32(12, true)], [16, 0x1 | 0x4 | 0x8]);
  assertEquals(view.getBigUint64(16, true), BigInt(root));
  assertEquals([24, 28, 32, 36, 40, 44].map((at) => view.getUint32(at, true)), [2, 7, 0, 1, 0, 0]);
});

Deno.test("applied means that the acknowledgement reached the write, across a wrap too", () => {
  const before = new ControlState();
  const state = new ProducerState();
  for (
    const [gen, ack, applied] of [
      [0, 0, false],
      [0, 1, false],
      [0, 2, true],
      [0xfffffffe, 0, true],
      [
        0xfffffffe,
        0xfffffffe,
        false,
      ],
      [6, 4, false],
      [6, 10, true],
    ] as const
  ) {
    before.ctrlGen = gen;
    state.ctrlAck = ack;
    assertEquals(isApplied(state, before), applied, `${gen} -> ${ack}`);
  }
  before.fullFrameReq = 0xffffffff;
  state.fullFrameAck = 0xffffffff;
  assertEquals(isFullFrameDone(state, before), false);
  state.fullFrameAck = 0;
  assertEquals(isFullFrameDone(state, before), true);
});
