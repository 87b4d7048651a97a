import { assert, assertEquals } from "@std/assert";
import { inflateSync } from "node:zlib";
import type { FramePixels, Rect } from "../../../src/rfb/server/rfb_server.ts";
import { decodePng } from "../../../src/vgpu/png.ts";
import { ThumbnailPicture } from "../../../src/web/thumbnail_picture.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

function frameOf(width: number, height: number, pixel: number): FramePixels {
  const stride = width + 2;
  return { words: new Int32Array(stride * height).fill(pixel), stride, width, height };
}

function wholeOf({ width, height }: FramePixels): Rect {
  return { x: 0, y: 0, width, height };
}

/** The picture of one frame alone. */
function pictureOf(frame: FramePixels, side: number): ThumbnailPicture {
  const picture = new ThumbnailPicture(side);
  picture.read(frame, wholeOf(frame));
  assert(picture.update(), "a first picture is another one");
  return picture;
}

/** What a PNG's data unpacks to: zlib checks the sum at its end. */
function unpacked(png: Uint8Array): Uint8Array {
  const view = new DataView(png.buffer, png.byteOffset);
  const parts: number[] = [];
  for (let at = 8; at < png.length;) {
    const length = view.getUint32(at);
    const name = new TextDecoder().decode(png.subarray(at + 4, at + 8));
    if (name === "IDAT") parts.push(...png.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  return inflateSync(Uint8Array.from(parts));
}

Deno.test("small pictures: of every size, in their colours", () => {
  for (
    const [width, height] of [[1, 1], [3, 700], [320, 200], [321, 200], [479, 300], [720, 400], [1280, 800], [
      2000,
      3,
    ]] as const
  ) {
    const png = pictureOf(frameOf(width, height, 0x7fc8140a), 320).png();
    const picture = decodePng(png);
    assert(Math.max(picture.width, picture.height) <= 480, `${width}x${height}`);
    const ratio = width / height / (picture.width / picture.height);
    const isForm = Math.min(width, height) < 10 || (ratio > 0.98 && ratio < 1.02);
    assert(isForm, `${width}x${height} keeps its form`);
    assertEquals([...picture.rgba.slice(-4)], [200, 20, 10, 255], `${width}x${height}`);
    assertEquals(unpacked(png).length, (1 + Math.ceil(picture.width / 2)) * picture.height);
  }
});

Deno.test("small pictures: the mean of four pixels, without a carry from one colour to the next", () => {
  const frame = frameOf(2, 2, 0xff01ff);
  for (const at of [0, 1]) frame.words[at] = 0xff00ff00 | 0;
  const { rgba } = decodePng(pictureOf(frame, 1).png());
  assertEquals([...rgba], [127, 128, 127, 255]);
});

Deno.test("small pictures: kept up to date by what changed, they are those of the last frame alone", () => {
  withSeed((random) => {
    const upTo = (n: number) => random.below(n);
    for (let round = 0; round < 20; round++) {
      const [width, height] = [1 + upTo(700), 1 + upTo(500)];
      const frame = frameOf(width, height, 0);
      const picture = pictureOf(frame, 160);
      for (let change = 0; change < 10; change++) {
        const [x, y] = [upTo(width), upTo(height)];
        const part = { x, y, width: 1 + upTo(width - x), height: 1 + upTo(height - y) };
        for (let row = y; row < y + part.height; row++) {
          for (let column = x; column < x + part.width; column++) {
            frame.words[row * frame.stride + column] = upTo(2 ** 24);
          }
        }
        picture.read(frame, part);
        const before = decodePng(picture.png()).rgba;
        const isOther = picture.update();
        const after = picture.png();
        const { rgba } = decodePng(after);
        const alone = decodePng(pictureOf(frame, 160).png()).rgba;
        assertEquals(rgba, alone, `${width}x${height} ${JSON.stringify(part)}`);
        assertEquals(isOther, before.some((byte, i) => byte !== rgba[i]));
        unpacked(after);
      }
    }
  });
});

Deno.test("small pictures: with few colours and with many, and again with few", () => {
  const [width, height] = [37, 101];
  const frame = frameOf(width, height, 0);
  const picture = new ThumbnailPicture(110);
  for (const [colours, line] of [[16, 20], [17, 38], [256, 38], [257, 112], [3, 20]] as const) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        frame.words[y * frame.stride + x] = 0x5000000 + (y * width + x) % colours * 0x010305;
      }
    }
    picture.read(frame, wholeOf(frame));
    assert(picture.update());
    const png = picture.png();
    assertEquals(unpacked(png).length, line * height, `${colours} colours`);
    const { rgba } = decodePng(png);
    for (let i = 0; i < width * height; i++) {
      const word = (frame.words[Math.floor(i / width) * frame.stride + i % width] as number) & 0xffffff;
      const told = (rgba[4 * i] as number) << 16 | (rgba[4 * i + 1] as number) << 8 |
        (rgba[4 * i + 2] as number);
      assertEquals(told, word, `${colours} colours, pixel ${i}`);
    }
  }
});

Deno.test("small pictures: one more colour than there was room for packs all of it anew", () => {
  const frame = frameOf(60, 100, 0);
  for (let i = 0; i < frame.words.length; i++) frame.words[i] = i % 16 * 0x0f0e0d;
  const picture = pictureOf(frame, 100);
  assertEquals(unpacked(picture.png()).length, 31 * 100);
  frame.words[99 * frame.stride + 59] = 0x123456;
  picture.read(frame, { x: 59, y: 99, width: 1, height: 1 });
  assert(picture.update());
  const png = picture.png();
  assertEquals(unpacked(png).length, 61 * 100);
  assertEquals(decodePng(png).rgba, decodePng(pictureOf(frame, 100).png()).rgba);
});

Deno.test("small pictures: what is read again instead counts, and what looks the same is not another one", () => {
  const frame = frameOf(640, 400, 0);
  const picture = pictureOf(frame, 320);
  const other = frameOf(640, 400, 0xffffff);
  picture.read(other, wholeOf(other));
  picture.read(frame, { x: 0, y: 0, width: 10, height: 10 });
  assertEquals(picture.update(), false);
  assertEquals(picture.png(), pictureOf(frame, 320).png());
  // Between the pixels that it looks at.
  const four = frameOf(1280, 800, 0);
  const small = pictureOf(four, 320);
  four.words[0] = 0xffffff;
  small.read(four, { x: 0, y: 0, width: 1, height: 1 });
  assertEquals(small.update(), false);
  // Another mode.
  const next = frameOf(320, 200, 0x102030);
  small.read(next, { x: 0, y: 0, width: 1, height: 1 });
  assertEquals(small.update(), true);
  assertEquals(small.png(), pictureOf(next, 320).png());
});
