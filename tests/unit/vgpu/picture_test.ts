// Frames to pictures in every format, parts and pixels of them, and PNG there and back.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { crop, type Picture, pictureOf, pixelAt, toPicture } from "../../../src/vgpu/picture.ts";
import { PIXEL_FORMAT } from "../../../src/vgpu/pixel_format.ts";
import { decodePng, encodePng } from "../../../src/vgpu/png.ts";
import { type SeededRandom, withSeed } from "../../fixtures/seeded_random.ts";

const RED = 0xff0000;
const ORANGE = 0xff8000;

/** Rows of bytes, each as long as the stride. */
function frame(stride: number, pixels: number[][]): Uint8Array {
  const bytes = new Uint8Array(stride * pixels.length);
  pixels.forEach((row, y) => bytes.set(row, y * stride));
  return bytes;
}

Deno.test("each 32-bit format gives the same opaque picture, also where rows are not aligned", () => {
  const layouts: [format: number, red: number[], orange: number[]][] = [
    [1, [0, 0, 255, 0], [0, 128, 255, 7]],
    [2, [255, 0, 0, 0], [255, 128, 0, 7]],
    [3, [0, 0, 255, 99], [0, 128, 255, 0]],
  ];
  for (const [format, red, orange] of layouts) {
    for (const stride of [8, 12, 13]) {
      for (const skip of [0, 1]) {
        const bytes = frame(stride, [[...red, ...orange], [...orange, ...red]]);
        const moved = new Uint8Array(bytes.length + skip);
        moved.set(bytes, skip);
        const picture = toPicture(moved.subarray(skip), { width: 2, height: 2, stride, format });
        assertEquals([...picture.rgba], [
          ...[255, 0, 0, 255, 255, 128, 0, 255],
          ...[255, 128, 0, 255, 255, 0, 0, 255],
        ], `format ${format}, stride ${stride}`);
      }
    }
  }
});

Deno.test("RGB565 keeps black black and white white", () => {
  const pixels = [0x0000, 0xffff, 0xf800, 0x07e0, 0x001f, 0x8410];
  const bytes = new Uint8Array(Uint16Array.from(pixels).buffer);
  const picture = toPicture(bytes, { width: 6, height: 1, stride: 12, format: 4 });
  assertEquals(pixels.map((_, x) => pixelAt(picture, x, 0)), [
    0,
    0xffffff,
    0xff0000,
    0x00ff00,
    0x0000ff,
    0x848284,
  ]);
});

Deno.test("NV12: grey is grey, and the colours of BT.601 come out within a step", () => {
  // Luma rows of 4 (2 used), then one row of u, v pairs.
  const of = (y: number, u: number, v: number) => {
    const bytes = Uint8Array.of(y, y, 0, 0, y, y, 0, 0, u, v, 0, 0);
    return pixelAt(toPicture(bytes, { width: 2, height: 2, stride: 4, format: 5 }), 1, 1)!;
  };
  assertEquals(of(16, 128, 128), 0x000000);
  assertEquals(of(235, 128, 128), 0xffffff);
  for (
    const [y, u, v, rgb] of [[81, 90, 240, 0xff0000], [145, 54, 34, 0x00ff00], [
      41,
      240,
      110,
      0x0000ff,
    ]] as const
  ) {
    const got = of(y, u, v);
    for (const shift of [0, 8, 16]) {
      assert(
        Math.abs((got >> shift & 255) - (rgb >> shift & 255)) <= 2,
        `${got.toString(16)} for ${rgb.toString(16)}`,
      );
    }
  }
});

function numbered(width: number, height: number): Picture {
  const rgba = new Uint8Array(width * height * 4);
  for (let i = 0; i < width * height; i++) rgba.set([i & 255, i >> 8 & 255, i >> 16, 255], 4 * i);
  return { width, height, rgba };
}

Deno.test("crop and pixelAt agree, cut at the edges, and refuse nothing at all", () => {
  const picture = numbered(20, 10);
  const part = crop(picture, { x: 15, y: -3, width: 100, height: 7 });
  assertEquals([part.width, part.height], [5, 4]);
  assertEquals(pixelAt(part, 2, 3), pixelAt(picture, 17, 3));
  assertEquals([pixelAt(picture, 20, 0), pixelAt(picture, 0, -1), pixelAt(picture, 0.5, 0)], [
    undefined,
    undefined,
    undefined,
  ]);
  for (
    const part of [{ x: 20, y: 0, width: 1, height: 1 }, { x: 0, y: 0, width: 0, height: 4 }, {
      x: NaN,
      y: 0,
      width: 1,
      height: 1,
    }]
  ) assertThrows(() => crop(picture, part), Fault, "Cannot cut");
});

Deno.test("PNG: what is written is read back, by pixels; garbage is a Fault", () => {
  withSeed((random: SeededRandom) => {
    const picture = numbered(33, 17);
    for (let i = 0; i < picture.rgba.length; i++) if (i % 4 !== 3) picture.rgba[i] = random.below(256);
    const png = encodePng(picture);
    assertEquals([...png.subarray(0, 8)], [137, 80, 78, 71, 13, 10, 26, 10]);
    assertEquals(decodePng(png), picture);
  });
  assertThrows(() => decodePng(new Uint8Array(50)), Fault, "Cannot read the picture");
  assertThrows(() => pictureOf(2, 2, 4, new Uint8Array(15)), Fault, "it has 15 bytes");
});

Deno.test("a red pixel is red, an orange one orange", () => {
  const bytes = frame(8, [[0, 0, 255, 255, 0, 128, 255, 255]]);
  const picture = toPicture(bytes, { width: 2, height: 1, stride: 8, format: 1 });
  assertEquals([pixelAt(picture, 0, 0), pixelAt(picture, 1, 0)], [RED, ORANGE]);
});

Deno.test("a frame whose sizes do not agree with its bytes is refused before anything is allocated", () => {
  const shapes = [
    { width: 4, height: 8, stride: 16, format: PIXEL_FORMAT.nv12 }, // one plane of two
    { width: 3, height: 2, stride: 16, format: PIXEL_FORMAT.nv12 }, // odd
    { width: 5, height: 8, stride: 16, format: PIXEL_FORMAT.bgrx8888 }, // a row past its stride
    { width: 4, height: 9, stride: 16, format: PIXEL_FORMAT.rgba8888 }, // a row too many
    { width: 0xffff, height: 0xffff, stride: 0xffff * 2, format: PIXEL_FORMAT.rgb565 },
    { width: 0, height: 8, stride: 16, format: PIXEL_FORMAT.rgb565 },
  ];
  const bytes = new Uint8Array(128);
  for (const shape of shapes) {
    const fault = assertThrows(() => toPicture(bytes, shape), Fault);
    assertEquals(fault.code, "bad-argument", JSON.stringify(shape));
  }
  const fault = assertThrows(() => toPicture(bytes, { width: 4, height: 8, stride: 16, format: 9 }), Fault);
  assertEquals(fault.code, "not-supported");
  // The last row without what would fill it.
  const { height } = toPicture(bytes.subarray(0, 120), { width: 2, height: 8, stride: 16, format: 1 });
  assertEquals(height, 8);
});
