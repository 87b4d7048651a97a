// One row in four: what changes on four rows or more is seen at once, everything within four looks, and what
// is told of it covers it.
import "../ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { createMemfd } from "../../../ffi/memfd.ts";
import { Mapping } from "../../../ffi/mapping.ts";
import { MemoryCanvas } from "../../../src/display/canvas.ts";
import { SPARSE_ROWS, SparseReader } from "../../../src/display/vga/sparse_reader.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

Deno.test("a picture that is looked at seldom: large changes at once, all of them within four looks", () => {
  withSeed((random) => {
    using file = createMemfd("vmsig-test-vram", 1 << 20, { sealable: false });
    using mapping = Mapping.map(file.fd, 0, 1 << 20, { write: true });
    const memory = new Int32Array(mapping.buffer);
    for (let round = 0; round < 30; round++) {
      const [width, height] = [1 + random.below(200), 1 + random.below(120)];
      const stride = 4 * (width + random.below(width + 3));
      const mode = { kind: "linear", bits: 32, width, height, stride, offset: 4096 } as const;
      const canvas = new MemoryCanvas();
      canvas.resize(width, height);
      const reader = new SparseReader({
        readRows: (rows, what) => rows.read(file.fd, what),
      }, canvas);
      /** The pictures of who takes over damage alone. */
      const follower = new Int32Array(width * height);
      const commit = () => {
        canvas.damage(0, 0, 0, 0);
        const before = canvas.commits;
        canvas.commit(0);
        if (canvas.commits === before) return;
        const [x, y, w, h] = canvas.lastDamage;
        for (let row = y; row < y + h; row++) {
          follower.set(canvas.words.subarray(row * width + x, row * width + x + w), row * width + x);
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
