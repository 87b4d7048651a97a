// Finding a picture in a picture: exact, near, masked, within a part, and against a plain search of every
// place.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { findPicture } from "../../../src/vgpu/find_picture.ts";
import { crop, type Picture } from "../../../src/vgpu/picture.ts";
import { type SeededRandom, withSeed } from "../../fixtures/seeded_random.ts";

function blank(width: number, height: number, grey = 40): Picture {
  const rgba = new Uint8Array(width * height * 4).fill(grey);
  for (let i = 3; i < rgba.length; i += 4) rgba[i] = 255;
  return { width, height, rgba };
}

function noisy(random: SeededRandom, width: number, height: number, colours: number): Picture {
  const picture = blank(width, height);
  for (let i = 0; i < picture.rgba.length; i++) if (i % 4 !== 3) picture.rgba[i] = random.below(colours) * 60;
  return picture;
}

/** Every place, every pixel: the least difference, first in reading order. */
function plainly(picture: Picture, needle: Picture): { x: number; y: number; difference: number } {
  let best = { x: -1, y: -1, difference: Infinity };
  for (let y = 0; y + needle.height <= picture.height; y++) {
    for (let x = 0; x + needle.width <= picture.width; x++) {
      let difference = 0;
      for (let row = 0; row < needle.height; row++) {
        for (let column = 0; column < needle.width; column++) {
          const b = (row * needle.width + column) * 4;
          if (needle.rgba[b + 3] === 0) continue;
          const a = ((y + row) * picture.width + x + column) * 4;
          for (let c = 0; c < 3; c++) difference += Math.abs(picture.rgba[a + c]! - needle.rgba[b + c]!);
        }
      }
      if (difference < best.difference) best = { x, y, difference };
    }
  }
  return best;
}

Deno.test("agrees with a search of every place, exact and near, with and without transparent pixels", () => {
  withSeed((random) => {
    for (let round = 0; round < 120; round++) {
      const picture = noisy(random, 20 + random.below(30), 15 + random.below(25), 1 + random.below(4));
      const width = 1 + random.below(9);
      const height = 1 + random.below(9);
      const needle = random.oneIn(3)
        ? noisy(random, width, height, 3)
        : crop(picture, { x: random.below(11), y: random.below(6), width, height });
      if (random.oneIn(2)) {
        for (let n = random.below(6); n > 0; n--) {
          const at = random.below(needle.rgba.length / 4) * 4;
          needle.rgba[at] = needle.rgba[at]! ^ 20;
        }
      }
      if (random.oneIn(3)) {
        for (let n = random.below(8); n > 0; n--) {
          needle.rgba[random.below(needle.rgba.length / 4) * 4 + 3] = 0;
        }
      }
      const counted = needle.rgba.filter((alpha, i) => i % 4 === 3 && alpha !== 0).length;
      const expected = plainly(picture, needle);
      const exact = findPicture(picture, needle);
      if (expected.difference === 0) {
        assertEquals(exact, { found: true, x: expected.x, y: expected.y, score: 1 });
      } else assertEquals(exact, { found: false });
      const tolerance = 1 + random.below(80);
      const near = findPicture(picture, needle, { tolerance });
      if (expected.difference <= Math.floor(tolerance * counted * 3)) {
        const score = counted === 0 ? 1 : 1 - expected.difference / (counted * 3 * 255);
        assertEquals(near, { found: true, x: expected.x, y: expected.y, score });
      } else assertEquals(near, { found: false });
    }
  });
});

Deno.test("looks only within the part it is given", () => {
  const picture = blank(100, 60);
  const mark = blank(4, 4, 200);
  const put = (x: number, y: number) => {
    for (let row = 0; row < 4; row++) picture.rgba.set(mark.rgba.subarray(0, 16), ((y + row) * 100 + x) * 4);
  };
  put(10, 10);
  put(80, 50);
  assertEquals(findPicture(picture, mark), { found: true, x: 10, y: 10, score: 1 });
  const within = { x: 50, y: 0, width: 50, height: 60 };
  assertEquals(findPicture(picture, mark, { within }), { found: true, x: 80, y: 50, score: 1 });
  assertEquals(findPicture(picture, mark, { within: { x: 50, y: 0, width: 32, height: 60 } }), {
    found: false,
  });
  assertEquals(findPicture(mark, picture), { found: false }, "a needle larger than the picture");
  assertThrows(() => findPicture(picture, mark, { tolerance: 300 }), Fault, "tolerance");
});

Deno.test("a needle in a full-HD screen is found in less work than pixels times needle", () => {
  withSeed((random) => {
    const screen = noisy(random, 1920, 1080, 4);
    const needle = crop(screen, { x: 1500, y: 900, width: 64, height: 64 });
    for (let i = 0; i < needle.rgba.length; i++) {
      if (i % 4 !== 3) needle.rgba[i] = Math.min(255, needle.rgba[i]! + 3);
    }
    const result = findPicture(screen, needle, { tolerance: 8 });
    assert(result.found);
    assertEquals([result.x, result.y], [1500, 900]);
    assert(result.score > 0.98);
  });
});
