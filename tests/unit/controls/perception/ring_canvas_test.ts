// The canvas over a ring: what is painted comes out of the ring whole, whatever the order of the slots, and
// what is told of it is what changed.
import "../../ffi/loaded_shim.ts";
import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { Mapping } from "../../../../ffi/mapping.ts";
import { openFdCount } from "../../../../ffi/owned_fd.ts";
import { AssertionFault } from "../../../../src/base/assert.ts";
import { RingCanvas } from "../../../../src/controls/perception/ring_canvas.ts";
import type { CursorPicture } from "../../../../src/display/canvas.ts";
import { MappedRegion } from "../../../../src/vgpu/mapped_region.ts";
import { PIXEL_FORMAT } from "../../../../src/vgpu/pixel_format.ts";
import { Cursor, FrameInfo } from "../../../../src/vgpu/snapshots.ts";
import { READ, VgpuRegion } from "../../../../src/vgpu/vgpu_region.ts";
import { withSeed } from "../../../fixtures/seeded_random.ts";

/** A canvas, and a viewer of whatever ring it tells of. */
class Scene implements Disposable {
  readonly canvas: RingCanvas;
  readonly told: FrameInfo[] = [];
  readonly cursors: Cursor[] = [];
  readonly pictures: (CursorPicture | undefined)[] = [];
  readonly leds: (number | undefined)[] = [];
  rings = 0;
  #mapping: Mapping | undefined;
  #region: VgpuRegion | undefined;

  constructor() {
    this.canvas = new RingCanvas(4711, {
      onRing: (ring) => {
        this.rings++;
        this.#mapping?.[Symbol.dispose]();
        this.#mapping = Mapping.map(ring.fd, 0, ring.bytes, { write: false });
        const opened = VgpuRegion.open(new MappedRegion(this.#mapping.buffer));
        assert(opened.ok);
        this.#region = opened.region;
      },
      onFrame: (info) => this.told.push(Object.assign(new FrameInfo(), info)),
      onCursor: (cursor) => this.cursors.push(Object.assign(new Cursor(), cursor)),
      onCursorPicture: (picture) => this.pictures.push(picture),
      onLeds: (bits) => this.leds.push(bits),
    });
  }

  /** The newest frame, as a viewer samples it. */
  view(): { info: FrameInfo; words: Int32Array } {
    assert(this.#region !== undefined);
    const info = new FrameInfo();
    const bytes = new Uint8Array(this.#region.header.slotStride);
    this.#region.forgetFrames();
    assertEquals(this.#region.sampleFrame(bytes, info), READ.FRESH);
    return { info, words: new Int32Array(bytes.buffer, 0, info.bytes / 4) };
  }

  [Symbol.dispose](): void {
    this.canvas[Symbol.dispose]();
    this.#mapping?.[Symbol.dispose]();
  }
}

Deno.test("ring canvas: any rectangles in any order come out as on a plain picture; what changed is told", () => {
  const before = openFdCount();
  withSeed((random) => {
    using scene = new Scene();
    const { canvas } = scene;
    const [width, height] = [40, 30];
    canvas.resize(width, height);
    const plain = new Int32Array(width * height);
    for (let frame = 1; frame <= 60; frame++) {
      let [left, top, right, bottom] = [width, height, 0, 0];
      for (let n = 1 + random.below(3); n > 0; n--) {
        const [x, y] = [random.below(width), random.below(height)];
        const [w, h] = [1 + random.below(width - x), 1 + random.below(height - y)];
        const colour = random.below(1 << 24);
        if (random.oneIn(2)) canvas.repaint(x, y, w, h);
        for (let row = y; row < y + h; row++) {
          canvas.words.fill(colour, row * width + x, row * width + x + w);
          plain.fill(colour, row * width + x, row * width + x + w);
        }
        canvas.damage(x, y, w, h);
        [left, top] = [Math.min(left, x), Math.min(top, y)];
        [right, bottom] = [Math.max(right, x + w), Math.max(bottom, y + h)];
      }
      canvas.commit(frame * 1000);
      const { info, words } = scene.view();
      assertEquals(words, plain);
      assertEquals([info.frameId, info.timestampNs, info.format], [
        frame,
        frame * 1000,
        PIXEL_FORMAT.bgrx8888,
      ]);
      assertEquals([info.damageX, info.damageY, info.damageW, info.damageH], [
        left,
        top,
        right - left,
        bottom - top,
      ]);
      assertEquals(scene.told.at(-1)?.frameId, frame);
    }
    assertEquals([scene.rings, scene.told.length], [1, 60]);
  });
  assertEquals(openFdCount(), before, "no descriptor is left");
});

Deno.test("ring canvas: what was to be painted anew and was not is told as changed, and the slots stay alike", () => {
  using scene = new Scene();
  const { canvas } = scene;
  canvas.resize(8, 8);
  for (let colour = 1; colour <= 3; colour++) {
    canvas.repaint(0, 0, 8, 8);
    canvas.words.fill(colour);
    canvas.commit(colour);
  }
  // A source that ends in the middle of its picture, and the next one, which paints what differs.
  canvas.repaint(0, 0, 8, 8);
  canvas.words.fill(4, 0, 20);
  for (let i = 0; i < 64; i++) canvas.words[i] = 5;
  canvas.damage(0, 0, 1, 1);
  canvas.commit(4);
  const { info, words } = scene.view();
  assertEquals([info.damageX, info.damageY, info.damageW, info.damageH], [0, 0, 8, 8]);
  assertEquals(words, new Int32Array(64).fill(5));
  for (let x = 0; x < 3; x++) {
    canvas.words[x] = 6;
    canvas.damage(x, 0, 1, 1);
    canvas.commit(5 + x);
    const expected = new Int32Array(64).fill(5);
    expected.fill(6, 0, x + 1);
    assertEquals(scene.view().words, expected);
  }
});

Deno.test("ring canvas: without damage nothing is shown; a size without a picture is not told", () => {
  using scene = new Scene();
  const { canvas } = scene;
  assertThrows(() => canvas.pixels, AssertionFault);
  canvas.commit(1);
  canvas.resize(8, 8);
  canvas.commit(2);
  canvas.words.fill(7);
  canvas.commit(3);
  assertEquals([scene.rings, scene.told.length, canvas.frameId], [0, 0, 0]);
  canvas.damage(0, 0, 8, 8);
  canvas.commit(4);
  assertEquals([scene.rings, scene.told.length], [1, 1]);
  assertEquals(scene.view().words, new Int32Array(64).fill(7));
  assertThrows(() => canvas.damage(1, 0, 8, 1), AssertionFault);
  for (const [width, height] of [[0, 1], [1, 0], [1 << 20, 1]] as const) {
    assertThrows(() => canvas.resize(width, height), AssertionFault);
  }
});

Deno.test("ring canvas: another size is another ring, and frame ids count on", () => {
  using scene = new Scene();
  const { canvas } = scene;
  for (let size = 1; size <= 50; size++) {
    canvas.resize(size, 2 * size);
    assert(canvas.words.every((word) => word === 0), "it is black");
    canvas.words.fill(size);
    canvas.damage(0, 0, size, 2 * size);
    canvas.commit(size);
    const { info, words } = scene.view();
    assertEquals([info.width, info.height, info.frameId, words[0]], [size, 2 * size, size, size]);
  }
  assertEquals(scene.rings, 50);
});

Deno.test("ring canvas: a VM that stands still marks its last picture, which is told once more", () => {
  using scene = new Scene();
  const { canvas } = scene;
  canvas.mark(1);
  canvas.mark(0);
  canvas.resize(4, 4);
  canvas.damage(0, 0, 4, 4);
  canvas.commit(1);
  canvas.mark(1);
  canvas.mark(1);
  assertEquals(scene.told.map(({ frameId, flags }) => [frameId, flags]), [[1, 0], [1, 1]]);
  assertEquals(scene.view().info.flags, 1);
  canvas.damage(0, 0, 1, 1);
  canvas.commit(2);
  assertEquals(scene.view().info.flags, 1);
  canvas.mark(0);
  assertEquals(scene.told.at(-1)?.flags, 0);
});

Deno.test("ring canvas: the cursor, with and without a shape", () => {
  using scene = new Scene();
  const { canvas } = scene;
  canvas.cursor(1, 2, true);
  canvas.resize(4, 4);
  canvas.damage(0, 0, 4, 4);
  canvas.commit(1);
  canvas.cursor(3, -1, false, { width: 5, height: 6, hotX: 1, hotY: 2 });
  assertEquals(scene.cursors.map(({ x, y, visible, glyphW }) => [x, y, visible, glyphW]), [
    [1, 2, true, 0],
    [3, -1, false, 5],
  ]);
  assertGreater(scene.cursors[1]!.seq, scene.cursors[0]!.seq);
});

Deno.test("ring canvas: what the cursor looks like and the lights are told when they change, and no more often", () => {
  using scene = new Scene();
  const { canvas } = scene;
  const arrow = () => ({ width: 2, height: 1, hotX: 0, hotY: 0, words: new Int32Array([-1, 7]) });
  canvas.cursorPicture(undefined);
  canvas.leds(undefined);
  for (
    const picture of [arrow(), arrow(), { ...arrow(), hotX: 1 }, { ...arrow(), words: new Int32Array(2) }]
  ) {
    canvas.cursorPicture(picture);
  }
  for (const bits of [2, 2, 6, undefined, undefined]) canvas.leds(bits);
  canvas.cursorPicture(undefined);
  assertEquals(scene.pictures.map((each) => [each?.hotX, each?.words[0]]), [
    [0, -1],
    [1, -1],
    [0, 0],
    [undefined, undefined],
  ]);
  assertEquals(scene.leds, [2, 6, undefined]);
});
