/**
 * Pictures in D-Bus bodies: every format, rows with padding, pieces of every size.
 * @module
 */
import { assertEquals } from "@std/assert";
import { MemoryCanvas } from "../../../src/display/canvas.ts";
import { type PictureKind, PictureSink } from "../../../src/display/dbus/picture_sink.ts";

/** A body: numbers, then rows of pixels with padding of 0xee. */
function body(
  numbers: readonly number[],
  rows: readonly (readonly number[])[],
  padding: number,
): Uint8Array<ArrayBuffer> {
  const data = rows.flatMap((row) => [...row, ...new Array(padding).fill(0xee)]);
  const head = Uint32Array.from([...numbers, data.length]);
  return new Uint8Array([...new Uint8Array(head.buffer), ...data]);
}

function painted(kind: PictureKind, bytes: Uint8Array<ArrayBuffer>, size: number): MemoryCanvas {
  const canvas = new MemoryCanvas();
  canvas.resize(4, 3);
  let ends = 0;
  const owner = { canvas, begins: () => true, ends: () => ends++ };
  const sink = new PictureSink(owner, kind, true, bytes.length);
  for (let at = 0; at < bytes.length; at += size) sink.take(bytes, at, Math.min(at + size, bytes.length));
  sink.end();
  assertEquals(ends, 1);
  return canvas;
}

/** A pixel of 0xf8, 0xfc, 0x08 in each format, and what it is on a canvas. */
const PIXELS: readonly [format: number, bytes: readonly number[], word: number][] = [
  [0x2002_0888, [0x08, 0xfc, 0xf8, 0], 0xf8fc08],
  [0x2002_8888, [0x08, 0xfc, 0xf8, 0], 0xf8fc08],
  [0x2003_0888, [0xf8, 0xfc, 0x08, 9], 0xf8fc08],
  [0x2003_8888, [0xf8, 0xfc, 0x08, 9], 0xf8fc08],
  [0x2008_0888, [9, 0xf8, 0xfc, 0x08].reverse().reverse(), 0xf8fc08],
  [0x1802_0888, [0x08, 0xfc, 0xf8], 0xf8fc08],
  [0x1803_0888, [0xf8, 0xfc, 0x08], 0xf8fc08],
  [0x1002_0565, [0xe1, 0xff], 0xffff08],
  [0x1002_0555, [0xe1, 0x7f], 0xffff08],
  [0x1002_1555, [0xe1, 0xff], 0xffff08],
];

Deno.test("every format of QEMU's surfaces becomes the canvas's own, in pieces of every size", () => {
  for (const [format, pixel, word] of PIXELS) {
    for (const padding of [0, 3]) {
      const row = Array.from({ length: 4 }, () => pixel).flat();
      const stride = row.length + padding;
      const bytes = body([4, 3, stride, format], [row, row, row], padding);
      for (const size of [1, 2, 5, 1000]) {
        const canvas = painted("scanout", bytes, size);
        assertEquals(
          [...canvas.words].map((each) => (each & 0xffffff).toString(16)),
          new Array(12).fill(word.toString(16)),
          `0x${format.toString(16)} padding ${padding} pieces of ${size}`,
        );
      }
    }
  }
});

Deno.test("an Update is painted where it belongs, and nowhere else", () => {
  const row = [1, 0, 0, 0, 2, 0, 0, 0];
  const bytes = body([1, 1, 2, 2, 9, 0x2002_0888], [row, row], 1);
  for (const size of [1, 7, 100]) {
    assertEquals([...painted("update", bytes, size).words], [0, 0, 0, 0, 0, 1, 2, 0, 0, 1, 2, 0]);
  }
});
