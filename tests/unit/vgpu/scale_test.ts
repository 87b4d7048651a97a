import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { type Picture, pixelAt } from "../../../src/vgpu/picture.ts";
import { scalePicture } from "../../../src/vgpu/scale.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

const greys = (width: number, rows: readonly (readonly number[])[]): Picture => ({
  width,
  height: rows.length,
  rgba: Uint8Array.from(rows.flat().flatMap((grey) => [grey, grey, grey, 255])),
});
const greysOf = (picture: Picture): number[] =>
  Array.from({ length: picture.width * picture.height }, (_, i) => picture.rgba[4 * i] as number);

Deno.test("a smaller picture has the mean of what each pixel covers, parts counted as parts", () => {
  // Each of the four covers one and a quarter of the five.
  assertEquals(greysOf(scalePicture(greys(5, [[0, 250, 0, 250, 100]]), 0.8)), [50, 150, 150, 130]);
  assertEquals(greysOf(scalePicture(greys(2, [[10, 20], [30, 60]]), 0.5)), [30]);
  assertEquals(greysOf(scalePicture(greys(4, [[0, 100, 0, 100]]), 0.5)), [50, 50]);
});

Deno.test("strokes of one pixel have the same weight wherever they stand", () => {
  const weights = new Set<number>();
  for (let stroke = 8; stroke < 24; stroke++) {
    const row = Array.from({ length: 40 }, (_, x) => x === stroke ? 240 : 0);
    weights.add(
      greysOf(scalePicture(greys(40, [row, row, row, row, row]), 0.8))
        .reduce((sum, grey) => sum + grey, 0),
    );
  }
  // Four rows of 192: rounding may take or give one in each of two pixels of a row.
  for (const weight of weights) assert(Math.abs(weight - 4 * 192) <= 8, `${weight}`);
});

Deno.test("one colour stays that colour at every factor, and the size is the rounded one", () =>
  withSeed((random) => {
    for (let round = 0; round < 200; round++) {
      const [width, height] = [1 + random.below(70), 1 + random.below(70)];
      const factor = (1 + random.below(3000)) / 1000;
      const picture = { width, height, rgba: new Uint8Array(width * height * 4) };
      for (let at = 0; at < picture.rgba.length; at += 4) picture.rgba.set([200, 13, 255, 255], at);
      const scaled = scalePicture(picture, factor);
      assertEquals(scaled.width, Math.max(1, Math.round(width * factor)));
      assertEquals(scaled.height, Math.max(1, Math.round(height * factor)));
      for (let y = 0; y < scaled.height; y++) {
        for (let x = 0; x < scaled.width; x++) {
          assertEquals(pixelAt(scaled, x, y), 0xc80dff, `${width}x${height} by ${factor} at ${x},${y}`);
        }
      }
    }
  }));

Deno.test("a larger picture repeats pixels; the same size is the same picture", () => {
  const picture = greys(2, [[1, 2], [3, 4]]);
  assertEquals(greysOf(scalePicture(picture, 2)), [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4]);
  assertEquals(greysOf(scalePicture(picture, 1.5)), [1, 1, 2, 1, 1, 2, 3, 3, 4]);
  assertEquals(scalePicture(picture, 1), picture);
});

Deno.test("a factor that cannot be is refused", () => {
  const picture = greys(1, [[0]]);
  for (const factor of [0, -1, 9, NaN, Infinity]) {
    const { code } = assertThrows(() => scalePicture(picture, factor), Fault) as Fault;
    assertEquals(code, "bad-argument");
  }
});
