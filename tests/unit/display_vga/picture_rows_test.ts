/** Rows of a picture read over another one: what changed, and nothing beside. */
import "../ffi/loaded_shim.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { createMemfd } from "../../../ffi/memfd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { RowReader } from "../../../ffi/picture_rows.ts";
import { pwriteFrom } from "../../../ffi/stream.ts";
import { AssertionFault } from "../../../src/base/assert.ts";
import { SeededRandom } from "../../fixtures/seeded_random.ts";

Deno.test("picture rows: what differs is copied and told, against a plain model", () => {
  const random = new SeededRandom(0x5eed);
  const reader = new RowReader();
  for (let round = 0; round < 300; round++) {
    const rowBytes = 1 + random.below(round % 10 === 0 ? 70_000 : 700);
    const rows = 1 + random.below(40);
    const stride = rowBytes + random.below(100);
    const toStride = rowBytes + random.below(100);
    const to = random.below(50);
    const position = random.below(100);
    const file = new Uint8Array(position + rows * stride);
    for (let i = 0; i < file.length; i += 1 + random.below(97)) file[i] = random.below(256);
    const picture = new Uint8Array(to + rows * toStride).fill(0xaa);
    for (let y = 0; y < rows; y++) {
      picture.set(file.subarray(position + y * stride, position + y * stride + rowBytes), to + y * toStride);
    }
    const expected = picture.slice();
    const box = { top: rows, bottom: 0, left: rowBytes, right: 0 };
    const touched = new Set<number>();
    for (let n = random.below(5); n > 0; n--) {
      const [y, x] = [random.below(rows), random.below(rowBytes)];
      const at = to + y * toStride + x;
      expected[at] = expected[at]! ^ 1;
      file[position + y * stride + x] = expected[at]!;
    }
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < rowBytes; x++) {
        if (expected[to + y * toStride + x] === picture[to + y * toStride + x]) continue;
        touched.add(y);
        box.top = Math.min(box.top, y);
        box.bottom = Math.max(box.bottom, y + 1);
        box.left = Math.min(box.left, x - x % 64);
        box.right = Math.max(box.right, Math.min(rowBytes, x - x % 64 + 64));
      }
    }
    using fd = createMemfd("vmsig-test-rows", file.length);
    pwriteFrom(fd.fd, file, 0, file.length, 0);
    const what = { position, stride, picture, to, toStride, rowBytes, rows };
    assertEquals(reader.read(fd.fd, what), touched.size, `round ${round}`);
    assertEquals(picture, expected, `round ${round}`);
    if (touched.size === 0) continue;
    const { top, bottom, left, right } = reader;
    assertEquals({ top, bottom, left, right }, box, `round ${round}`);
  }
});

Deno.test("picture rows: a file that ends, one that is none, and rows that do not fit", () => {
  const reader = new RowReader();
  const picture = new Uint8Array(4096);
  const what = { position: 0, stride: 64, picture, to: 0, toStride: 64, rowBytes: 64, rows: 64 };
  using short = createMemfd("vmsig-test-rows", 4000);
  assertEquals(reader.read(short.fd, what), -3, "ESRCH");
  assertThrows(() => reader.read(-1, what), OsError, "EBADF");
  assertThrows(() => reader.read(short.fd, { ...what, to: 1 }), AssertionFault);
  assertThrows(() => reader.read(short.fd, { ...what, stride: 63 }), AssertionFault);
  assertThrows(() => reader.read(short.fd, { ...what, rows: 0 }), AssertionFault);
});
