// One row in four: what changes on four rows or more is seen at once, everything within four looks, and what
// is told of it covers it; on a canvas of one memory, and on one of slots.
import "../ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { createMemfd } from "../../../ffi/memfd.ts";
import { Mapping } from "../../../ffi/mapping.ts";
import { RingCanvas } from "../../../src/controls/perception/ring_canvas.ts";
import { type Canvas, MemoryCanvas } from "../../../src/display/canvas.ts";
import { SPARSE_ROWS, SparseReader } from "../../../src/display/vga/sparse_reader.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

/** A canvas, and what it told of the last commit, once. */
interface Scene extends Disposable {
  readonly canvas: Canvas;
  told(): readonly [damage: readonly [number, number, number, number], words: Int32Array] | undefined;
}

function inMemory(): Scene {
  const canvas = new MemoryCanvas();
  let seen = 0;
  return {
    canvas,
    told() {
      if (canvas.commits === seen) return undefined;
      seen = canvas.commits;
      return [canvas.lastDamage, canvas.words];
    },
    [Symbol.dispose]: () => {},
  };
}

function inSlots(): Scene {
  let told: ReturnType<Scene["told"]>;
  const canvas = new RingCanvas(1, {
    onRing: () => {},
    onFrame: ({ damageX, damageY, damageW, damageH }) => {
      const bytes = canvas.shown;
      assert(bytes !== undefined, "what was committed is shown");
      const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
      told = [[damageX, damageY, damageW, damageH], words];
    },
    onCursor: () => {},
    onCursorPicture: () => {},
    onLeds: () => {},
  });
  return {
    canvas,
    told() {
      const last = told;
      told = undefined;
      return last;
    },
    [Symbol.dispose]: () => canvas[Symbol.dispose](),
  };
}

Deno.test("a picture that is looked at seldom: large changes at once, all of them within four looks", () => {
  withSeed((random) => {
    using file = createMemfd("vmsig-test-vram", 1 << 20, { sealable: false });
    using mapping = Mapping.map(file.fd, 0, 1 << 20, { write: true });
    const memory = new Int32Array(mapping.buffer);
    for (let round = 0; round < 30; round++) {
      const [width, height] = [1 + random.below(200), 1 + random.below(120)];
      const stride = 4 * (width + random.below(width + 3));
      const mode = { kind: "linear", bits: 32, width, height, stride, offset: 4096 } as const;
      using scene = round % 2 === 0 ? inMemory() : inSlots();
      const { canvas } = scene;
      canvas.resize(width, height);
      const reader = new SparseReader({
        readRows: (rows, what) => rows.read(file.fd, what),
      }, canvas);
      /** The pictures of who takes over damage alone. */
      const follower = new Int32Array(width * height);
      const commit = () => {
        canvas.commit(0);
        const told = scene.told();
        if (told === undefined) return;
        const [[x, y, w, h], words] = told;
        for (let row = y; row < y + h; row++) {
          follower.set(words.subarray(row * width + x, row * width + x + w), row * width + x);
        }
      };
      const wanted = () =>
        Array.from(
          { length: height },
          (_, y) => [...memory.subarray((4096 + y * stride) / 4, (4096 + y * stride) / 4 + width)],
        ).flat();
      reader.readAll(mode);
      commit();
      assertEquals([...follower], wanted());
      for (let change = 0; change < 8; change++) {
        const rows = 1 + random.below(height);
        const top = random.below(height - rows + 1);
        for (let y = top; y < top + rows; y++) {
          memory[(4096 + y * stride) / 4 + random.below(width)] = random.u32();
        }
        const first = reader.read(mode);
        commit();
        if (rows >= SPARSE_ROWS) {
          assert(first > 0, "a large change is seen at once");
          assertEquals([...follower], wanted(), `${width}x${height}, rows ${top} to ${top + rows}`);
        }
        for (let look = 1; look < SPARSE_ROWS; look++) {
          reader.read(mode);
          commit();
        }
        assertEquals([...follower], wanted(), `${width}x${height}, four looks at row ${top}`);
        assertEquals(reader.read(mode), 0, "nothing more has changed");
      }
    }
  });
});

Deno.test("a picture that scrolls on a canvas of slots is not copied before it is painted, and told whole", () => {
  const [width, height] = [64, 100];
  const stride = 4 * width;
  using file = createMemfd("vmsig-test-vram", 1 << 20, { sealable: false });
  using mapping = Mapping.map(file.fd, 0, 1 << 20, { write: true });
  const memory = new Int32Array(mapping.buffer);
  for (let i = 0; i < memory.length; i++) memory[i] = Math.imul(i, 2_654_435_761);
  using scene = inSlots();
  const { canvas } = scene;
  canvas.resize(width, height);
  let reads = 0;
  const reader = new SparseReader({
    readRows: (rows, what) => {
      if (what.onlyLooks !== true) reads++;
      return rows.read(file.fd, what);
    },
  }, canvas);
  reader.readAll({ kind: "linear", bits: 32, width, height, stride, offset: 0 });
  canvas.commit(0);
  scene.told();
  reads = 0;
  for (let turn = 1; turn <= 8; turn++) {
    const offset = turn % 3 * 16 * stride;
    const mode = { kind: "linear", bits: 32, width, height, stride, offset } as const;
    assert(reader.read(mode) > 0);
    canvas.commit(0);
    const told = scene.told();
    assert(told !== undefined);
    const [[, top, , rows], words] = told;
    assert(top <= 3 && top + rows >= height - 3, "all of it is told");
    assertEquals(
      words.subarray(4 * width),
      memory.subarray(offset / 4 + 4 * width, offset / 4 + height * width),
    );
    // Nothing has changed: nothing is painted.
    const before = reads;
    assertEquals([reader.read(mode), reads], [0, before]);
    assertEquals(scene.told(), undefined);
  }
});
