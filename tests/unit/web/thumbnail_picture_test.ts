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
    assertEquals(unpacked(png).length, (1 + 3 * picture.width) * picture.height);
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
        const before = picture.png();
        const isOther = picture.update();
        const [after, alone] = [picture.png(), pictureOf(frame, 160).png()];
        assertEquals(after, alone, `${width}x${height} ${JSON.stringify(part)}`);
        assertEquals(isOther, before.length !== after.length || before.some((byte, i) => byte !== after[i]));
        unpacked(after);
      }
    }
  });
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
