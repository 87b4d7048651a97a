/**
 * Needles: what is read of their files, where they are found and how alike, compared with a search that tries
 * every place; grey values as OpenCV 5.0 gave them for the same pixels.
 */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { searchArea } from "../../../src/testing/area_search.ts";
import { clickPointOf } from "../../../src/testing/click_target.ts";
import { type GrayPart, grayPart } from "../../../src/testing/gray_picture.ts";
import { type Needle, readNeedle } from "../../../src/testing/needle_file.ts";
import { bestNeedle, matchNeedle } from "../../../src/testing/needle_match.ts";
import type { Picture, Rectangle } from "../../../src/vgpu/picture.ts";
import { encodePng } from "../../../src/vgpu/png.ts";

/** Numbers from 0 to below n, the same in every run. */
function dice(seed: number): (n: number) => number {
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

Deno.test("needles: the place is that of a search which tries every place", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const roll = dice(seed);
    const whole = screenOf(seed, 90, 70);
    const scene = grayPart(whole, { x: 0, y: 0, width: 90, height: 70 });
    const [width, height] = [1 + roll(30), 1 + roll(30)];
    const [x, y] = [roll(90 - width), roll(70 - height)];
    const wanted = grayPart(whole, { x, y, width, height });
    for (let i = 0; i < wanted.gray.length; i++) {
      wanted.gray[i] = Math.max(0, Math.min(255, (wanted.gray[i] as number) + roll(seed) - (seed >> 1)));
    }
    const origin = { x: roll(90 - width + 1), y: roll(70 - height + 1) };
    assertEquals(
      searchArea(scene, wanted, origin, Infinity),
      everywhere(scene, wanted, origin),
      `seed ${seed}`,
    );
  }
});

function everywhere(scene: GrayPart, wanted: GrayPart, origin: { readonly x: number; readonly y: number }) {
  const all: { x: number; y: number; sum: number }[] = [];
  for (let y = 0; y + wanted.height <= scene.height; y++) {
    for (let x = 0; x + wanted.width <= scene.width; x++) {
      let sum = 0;
      for (let row = 0; row < wanted.height; row++) {
        for (let column = 0; column < wanted.width; column++) {
          const a = scene.gray[(y + row) * scene.width + x + column] as number;
          sum += (a - (wanted.gray[row * wanted.width + column] as number)) ** 2;
        }
      }
      all.push({ x, y, sum });
    }
  }
  const isSame = all.find(({ x, y }) => x === origin.x && y === origin.y);
  if (isSame?.sum === 0) return isSame;
  const least = Math.min(...all.map(({ sum }) => sum));
  const far = ({ x, y }: { x: number; y: number }) => (x - origin.x) ** 2 + (y - origin.y) ** 2;
  return all.filter(({ sum }) => sum <= least + 10).sort((a, b) => far(a) - far(b))[0];
}

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
