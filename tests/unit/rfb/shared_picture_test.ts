import { assert, assertEquals } from "@std/assert";
import {
  DirtyTiles,
  MAX_RECT_PIXELS,
  MAX_RECT_WIDTH,
  type Rect,
  TILE,
} from "../../../src/rfb/server/dirty_tiles.ts";
import { SharedPicture } from "../../../src/rfb/server/shared_picture.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

/** How often each pixel is in one of the rectangles. */
function covered(rects: readonly Rect[], width: number, height: number): Uint8Array {
  const counts = new Uint8Array(width * height);
  for (const rect of rects) {
    assert(
      rect.width > 0 && rect.height > 0 && rect.x + rect.width <= width && rect.y + rect.height <= height,
    );
    for (let y = rect.y; y < rect.y + rect.height; y++) {
      for (let x = rect.x; x < rect.x + rect.width; x++) counts[y * width + x]!++;
    }
  }
  return counts;
}

Deno.test("marked tiles are taken out once each, as rectangles of bounded size, and nothing else is", () => {
  withSeed((random) => {
    for (let round = 0; round < 200; round++) {
      const [width, height] = [1 + random.below(2400), 1 + random.below(120)];
      const tiles = new DirtyTiles();
      tiles.resize(width, height);
      const marked = new Uint8Array(width * height);
      for (let i = random.below(6); i > 0; i--) {
        const rect = {
          x: random.below(width + 40),
          y: random.below(height + 40),
          width: random.below(width),
          height: random.below(height),
        };
        tiles.mark(rect);
        if (rect.width === 0 || rect.height === 0) continue;
        for (let y = 0; y < height; y++) {
          const isRow = y >= rect.y - rect.y % TILE && y < Math.ceil((rect.y + rect.height) / TILE) * TILE;
          if (!isRow || rect.y >= height || rect.x >= width) continue;
          for (let x = 0; x < width; x++) {
            const isIn = x >= rect.x - rect.x % TILE && x < Math.ceil((rect.x + rect.width) / TILE) * TILE;
            if (isIn) marked[y * width + x] = 1;
          }
        }
      }
      const rects = tiles.take({ x: 0, y: 0, width, height });
      assertEquals(covered(rects, width, height), marked);
      for (const rect of rects) {
        assert(rect.width <= MAX_RECT_WIDTH);
        assert(rect.width * rect.height <= MAX_RECT_PIXELS || rect.height <= TILE);
      }
      assert(tiles.isEmpty);
      assertEquals(tiles.take({ x: 0, y: 0, width, height }), []);
    }
  });
});

Deno.test("what is taken is clipped; what another one has marked is added", () => {
  const tiles = new DirtyTiles();
  const other = new DirtyTiles();
  for (const each of [tiles, other]) each.resize(100, 100);
  other.markTile(6, 6);
  other.markTile(0, 0);
  tiles.add(other);
  tiles.add(other);
  assertEquals(tiles.take({ x: 0, y: 0, width: 98, height: 10 }), [{ x: 0, y: 0, width: 16, height: 10 }]);
  assert(tiles.isEmpty && !other.isEmpty);
});

Deno.test("of a frame's damage only tiles that differ are taken over, whatever is in the unused byte", () => {
  withSeed((random) => {
    for (let round = 0; round < 100; round++) {
      const [width, height] = [1 + random.below(100), 1 + random.below(70)];
      const stride = width + random.below(9);
      const picture = new SharedPicture();
      picture.resize(width, height);
      picture.changed.clear();
      const frame = new Int32Array(stride * height).map(() => random.u32() << 24);
      const changed = new Set<number>();
      for (let i = random.below(5); i > 0; i--) {
        const [x, y] = [random.below(width), random.below(height)];
        frame[y * stride + x] = random.u32() | 1;
        changed.add(Math.floor(y / TILE) * 100 + Math.floor(x / TILE));
      }
      const before = picture.version;
      picture.take(frame, stride, { x: 0, y: 0, width, height });
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          assertEquals(picture.words[y * width + x], (frame[y * stride + x] as number) & 0xff_ffff);
        }
      }
      assertEquals(picture.version > before, changed.size > 0);
      const told = new Set<number>();
      for (const rect of picture.changed.take({ x: 0, y: 0, width, height })) {
        for (let y = rect.y; y < rect.y + rect.height; y += TILE) {
          for (let x = rect.x; x < rect.x + rect.width; x += TILE) told.add(y / TILE * 100 + x / TILE);
        }
      }
      assertEquals([...told].sort(), [...changed].sort());
    }
  });
});
