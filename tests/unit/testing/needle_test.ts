/**
 * Needles: what is read of their files, where they are found and how alike, compared with a search that tries
 * every place; grey values as OpenCV 5.0 gave them for the same pixels.
 */
import "../ffi/loaded_shim.ts";
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { type GrayPixels, leastDifferent } from "../../../ffi/picture_search.ts";
import { Fault } from "../../../src/base/fault.ts";
import { clickPointOf } from "../../../src/testing/click_target.ts";
import { grayPart } from "../../../src/testing/gray_picture.ts";
import { type Needle, readNeedle } from "../../../src/testing/needle_file.ts";
import { bestNeedle, matchNeedle } from "../../../src/testing/needle_match.ts";
import type { Picture, Rectangle } from "../../../src/vgpu/picture.ts";
import { encodePng } from "../../../src/vgpu/png.ts";
import { plainGray, plainSearch } from "../../fixtures/plain_search.ts";

/** Numbers from 0 to below n, the same in every run. */
type Dice = (n: number) => number;

function dice(seed: number): Dice {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * n);
  };
}

function screenOf(seed: number, width = 320, height = 200): Picture {
  const roll = dice(seed);
  const rgba = new Uint8Array(width * height * 4).fill(255);
  for (let box = 0; box < 60; box++) {
    const [x, y, w, h] = [roll(width - 40), roll(height - 20), 2 + roll(38), 2 + roll(18)];
    const colour = [roll(256), roll(256), roll(256)];
    for (let row = y; row < y + h; row++) {
      for (let column = x; column < x + w; column++) rgba.set(colour, 4 * (row * width + column));
    }
  }
  return { width, height, rgba };
}

/** A copy in which a part is moved; where it was is black. */
function moved(picture: Picture, { x, y, width, height }: Rectangle, dx: number, dy: number): Picture {
  const rgba = picture.rgba.slice();
  for (let row = 0; row < height; row++) {
    const from = 4 * ((y + row) * picture.width + x);
    rgba.fill(0, from, from + 4 * width);
  }
  for (let row = 0; row < height; row++) {
    const from = 4 * ((y + row) * picture.width + x);
    rgba.set(picture.rgba.subarray(from, from + 4 * width), 4 * ((y + row + dy) * picture.width + x + dx));
  }
  return { ...picture, rgba };
}

function needleOn(picture: Picture, areas: readonly Partial<Needle["areas"][number]>[]): Needle {
  const whole = { x: 100, y: 80, width: 40, height: 20, match: 0.96, margin: 50, clickPoint: undefined };
  return {
    name: "needle",
    tags: [],
    properties: [],
    picture,
    areas: areas.map((area) => ({ ...whole, ...area })),
    excluded: [],
    leftOut: 0,
  };
}

Deno.test("needles: grey and blurred as OpenCV does it", () => {
  // cv2.GaussianBlur(cv2.cvtColor(p, cv2.COLOR_BGR2GRAY), (3, 3), 0) of these pixels.
  const pixels = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30], [200, 100, 50], [1, 2, 3]];
  const rgba = new Uint8Array(pixels.flatMap((rgb) => [...rgb, 255]));
  const { gray } = grayPart({ width: 3, height: 2, rgba }, { x: 0, y: 0, width: 3, height: 2 });
  assertEquals([...gray], [92, 84, 76, 92, 84, 76]);
});

Deno.test("needles: a part that was moved is found where it is, and one that was not, where it was", () => {
  const picture = screenOf(1);
  const area = { x: 100, y: 80, width: 40, height: 20 };
  const still = matchNeedle(picture, needleOn(picture, [{}]));
  assertEquals([still.isMatch, still.areas[0]?.x, still.areas[0]?.y, still.error], [true, 100, 80, 0]);
  for (const [dx, dy] of [[7, -3], [-50, 50], [50, -50]] as const) {
    // The edge of a moved part is blurred with other pixels: not wholly alike.
    const found = matchNeedle(moved(picture, area, dx, dy), needleOn(picture, [{}]));
    assertEquals([found.areas[0]?.x, found.areas[0]?.y], [100 + dx, 80 + dy]);
  }
  const beyond = matchNeedle(moved(picture, area, 60, 0), needleOn(picture, [{ margin: 20 }]));
  assert((beyond.areas[0]?.x ?? 999) <= 120, "it is looked for within its margin alone");
});

Deno.test("needles: grey and blurred values are those of the rule, wherever a part lies", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const roll = dice(seed);
    const [width, height] = [1 + roll(seed % 3 === 0 ? 4 : 90), 1 + roll(seed % 4 === 0 ? 3 : 40)];
    const rgba = new Uint8Array(width * height * 4).map(() => roll(256));
    const rectangle = () => {
      const [x, y] = [roll(width), roll(height)];
      return { x, y, width: 1 + roll(width - x), height: 1 + roll(height - y) };
    };
    const part = seed % 5 === 0 ? { x: 0, y: 0, width, height } : rectangle();
    // One of them reaches beyond the picture, and one lies beside it.
    const excluded = [rectangle(), { ...rectangle(), width: 500, height: 500 }, { ...rectangle(), x: 600 }]
      .slice(0, seed % 4);
    const picture = { width, height, rgba };
    const { gray } = grayPart(picture, part, excluded);
    assertEquals(gray, plainGray(picture, part, excluded), `seed ${seed}`);
  }
});

/** Scenes by what is hard about them: [what, value at a place]. */
const SCENES: readonly (readonly [what: string, pixel: (x: number, y: number, roll: Dice) => number])[] = [
  ["noise", (_x, _y, roll) => roll(256)],
  ["noise of few levels", (_x, _y, roll) => 100 + roll(3)],
  ["one colour", () => 90],
  ["one colour, and a few spots", (_x, _y, roll) => roll(200) === 0 ? 255 : 90],
  ["a ramp", (x, y) => (2 * x + y) & 255],
  ["stripes", (x) => x % 8 < 4 ? 0 : 255],
  ["a chessboard", (x, y) => (x + y) % 2 === 0 ? 0 : 255],
  ["tiles that repeat", (x, y) => ((x % 16) * 13 + (y % 8) * 29) & 255],
  ["lines of text", (x, y, roll) => y % 10 < 7 && x % 6 < 5 && roll(2) === 0 ? 170 : 0],
];

Deno.test("needles: the place and the sum are those of a search that compares every place", () => {
  for (const [what, pixel] of SCENES) {
    for (let seed = 1; seed <= 12; seed++) {
      const roll = dice(seed);
      const [width, height] = [40 + roll(160), 20 + roll(30)];
      const scene: GrayPixels = { width, height, gray: new Uint8Array(width * height) };
      for (let i = 0; i < scene.gray.length; i++) {
        scene.gray[i] = pixel(i % width, Math.floor(i / width), roll);
      }
      const [columns, rows] = [1 + roll(seed % 4 === 0 ? width : 40), 1 + roll(seed % 4 === 1 ? height : 12)];
      const [left, top] = [roll(width - columns + 1), roll(height - rows + 1)];
      const area: GrayPixels = { width: columns, height: rows, gray: new Uint8Array(columns * rows) };
      for (let i = 0; i < area.gray.length; i++) {
        const from = (top + Math.floor(i / columns)) * width + left + i % columns;
        // As it is, a little off, off in one place, of one colour, or something else altogether.
        const there = scene.gray[from] as number;
        const changed = [
          there,
          there + roll(5) - 2,
          i === 7 ? 255 - there : there,
          95,
          roll(256),
        ][seed % 5] as number;
        area.gray[i] = Math.max(0, Math.min(255, changed));
      }
      const origin = { x: roll(width - columns + 1), y: roll(height - rows + 1) };
      const expected = plainSearch(scene, area, origin);
      const name = `${what}, seed ${seed}: ${columns}x${rows} in ${width}x${height}`;
      assertEquals(leastDifferent(scene, area, origin, Infinity), expected, name);
      // A bound that the place is below changes nothing; above it, the place told is a place all the same.
      assertEquals(leastDifferent(scene, area, origin, expected.sum), expected, name);
      const other = leastDifferent(scene, area, origin, expected.sum / 2 - 20);
      assert(other.sum >= expected.sum && other.x <= width - columns && other.y <= height - rows, name);
    }
  }
});

Deno.test("needles: how alike, in numbers; excluded parts count nothing", () => {
  const picture = screenOf(2);
  const gray = (level: number): Picture => ({
    ...picture,
    rgba: new Uint8Array(picture.rgba.length).map((_, i) => i % 4 === 3 ? 255 : level),
  });
  const likeness = (level: number) =>
    matchNeedle(gray(100 + level), needleOn(gray(100), [{}])).areas[0]?.similarity;
  assertEquals(likeness(1), 1);
  assertAlmostEquals(likeness(6) ?? 0, 0.9 + (40 - 36) / 380, 1e-9);
  assertEquals(likeness(40), 0);
  const other = gray(100);
  other.rgba.fill(0, 4 * (86 * 320), 4 * (92 * 320));
  assertEquals(matchNeedle(other, needleOn(gray(100), [{ margin: 1 }])).isMatch, false);
  const excluded = {
    ...needleOn(gray(100), [{ margin: 1 }]),
    excluded: [{ x: 95, y: 84, width: 50, height: 10 }],
  };
  assertEquals(matchNeedle(other, excluded).isMatch, true);
});

Deno.test("needles: one that matches comes first, then the more alike, a workaround, the name", () => {
  const picture = screenOf(3);
  const named = (name: string, properties: string[] = [], match = 0.96): Needle => ({
    ...needleOn(picture, [{ match }]),
    name,
    properties,
  });
  const other = moved(picture, { x: 10, y: 10, width: 40, height: 20 }, 90, 70);
  assertEquals(bestNeedle(picture, [named("b"), named("a")])?.needle.name, "a");
  assertEquals(bestNeedle(picture, [named("a"), named("b", ["workaround"])])?.needle.name, "b");
  assertEquals(bestNeedle(other, [named("a"), named("z", [], 0)])?.needle.name, "z");
  assertEquals(bestNeedle(picture, []), undefined);
});

Deno.test("needles: a screen of another size, and one that is too small for the area", () => {
  const picture = screenOf(4);
  const larger = screenOf(4, 640, 400);
  const seen = matchNeedle(larger, needleOn(picture, [{ match: 0.01, margin: 5 }]));
  assert(Math.abs((seen.areas[0]?.x ?? 0) - 200) <= 5 && Math.abs((seen.areas[0]?.y ?? 0) - 160) <= 5);
  assertEquals(matchNeedle(screenOf(4, 130, 90), needleOn(picture, [{ x: 280, y: 180 }])).isMatch, false);
});

Deno.test("needles: files, as openQA's are, and broken ones with what is wrong", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-needles-" });
  try {
    await Deno.writeFile(`${folder}/ok.png`, encodePng(screenOf(5)));
    const write = (value: unknown) =>
      Deno.writeTextFile(`${folder}/ok.json`, typeof value === "string" ? value : JSON.stringify(value));
    const area = { xpos: "10", ypos: 20, width: 30, height: 40, type: "match" };
    await write({
      area: [
        { ...area, match: "90", margin: 0, click_point: { xpos: 3, ypos: 4, id: "first" } },
        { xpos: 1, ypos: 1, width: 2, height: 2, type: "exclude" },
        { ...area, click_point: "center" },
        { xpos: 1, ypos: 1, width: 2, height: 2, type: "ocr", refstr: "text" },
      ],
      tags: ["ENV-ok", "login"],
      properties: [{ name: "workaround", value: "bug" }, "other"],
    });
    for (const path of [`${folder}/ok.json`, `${folder}/ok.png`, `${folder}/ok`]) {
      const needle = await readNeedle(path);
      assertEquals([needle.name, needle.tags, needle.properties, needle.leftOut], [
        "ok",
        ["ENV-ok", "login"],
        ["workaround", "other"],
        1,
      ]);
      assertEquals(needle.areas.map(({ match, margin }) => [match, margin]), [[0.9, 50], [0.96, 50]]);
      assertEquals(needle.areas[1]?.clickPoint, { x: 15, y: 20 });
      assertEquals(needle.excluded, [{ x: 1, y: 1, width: 2, height: 2 }]);
      assertEquals(clickPointOf(matchNeedle(screenOf(5), needle)), { x: 13, y: 24 });
    }
    const broken: readonly [value: unknown, why: RegExp][] = [
      ["{", /JSON is broken/],
      ["[]", /not an object/],
      [{}, /no area to match/],
      [{ area: [{ ...area, type: "ocr" }] }, /no area to match/],
      [{ area: "x" }, /not a list/],
      [{ area: [3] }, /area 0 is not an object/],
      [{ area: [{ ...area, type: "some" }] }, /type "some"/],
      [{ area: [{ ...area, xpos: 300 }] }, /not on the picture of 320x200/],
      [{ area: [{ ...area, xpos: -1 }] }, /xpos that is not a whole number/],
      [{ area: [{ ...area, width: 0 }] }, /no pixels/],
      [{ area: [{ ...area, match: 101 }] }, /match that is not 0 to 100/],
      [{ area: [{ ...area, margin: 1e9 }] }, /margin that is not/],
      [{ area: [{ ...area, click_point: { xpos: 30, ypos: 0 } }] }, /click_point/],
      [{ area: [area], tags: "login" }, /tags are not a list/],
      [{ area: [area], tags: [3] }, /tags are not names/],
    ];
    for (const [value, why] of broken) {
      await write(value);
      const fault = await assertRejects(() => readNeedle(`${folder}/ok.json`), Fault);
      assertEquals(fault.code, "bad-argument");
      assert(why.test(fault.message), fault.message);
    }
    await write({ area: [area] });
    await Deno.writeTextFile(`${folder}/ok.png`, "no picture");
    assertEquals((await assertRejects(() => readNeedle(`${folder}/ok.json`), Fault)).code, "bad-argument");
    assertEquals((await assertRejects(() => readNeedle(`${folder}/none`), Fault)).code, "bad-argument");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
