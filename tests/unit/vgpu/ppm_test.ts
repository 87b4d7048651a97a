// The head of a PPM: what QEMU writes, and what a broken file says.
import { assert, assertEquals } from "@std/assert";
import { ppmToRgba, readPpmHead } from "../../../src/vgpu/ppm.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

function ppm(head: string, pixelBytes: number): Uint8Array {
  const text = new TextEncoder().encode(head);
  const bytes = new Uint8Array(text.length + pixelBytes);
  bytes.set(text);
  for (let i = 0; i < pixelBytes; i++) bytes[text.length + i] = i + 1;
  return bytes;
}

Deno.test("QEMU's head, and one with comments", () => {
  for (const head of ["P6\n3 2\n255\n", "P6 3\t2 255 ", "P6\n# made by hand\n3 # wide\n2\n255\n"]) {
    const bytes = ppm(head, 18);
    assertEquals(readPpmHead(bytes, bytes.length), {
      ok: true,
      width: 3,
      height: 2,
      dataOffset: head.length,
    });
    const rgba = new Uint8Array(24);
    ppmToRgba(bytes, head.length, 6, rgba);
    assertEquals([...rgba.subarray(0, 8)], [1, 2, 3, 255, 4, 5, 6, 255]);
  }
});

Deno.test("a broken file is refused with a reason, whatever is broken", () => {
  const cases = [
    "",
    "P5\n3 2\n255\n",
    "P6\n",
    "P6\n3",
    "P6\n3 2\n",
    "P6\n3 2\n255",
    "P6\n0 2\n255\n",
    "P6\n-3 2\n255\n",
  ];
  cases.push(
    "P6\n3 2\n65535\n",
    "P6\n99999 2\n255\n",
    "P6\n30000 30000\n255\n",
    "P6\n4 2\n255\n",
    "P6" + " ".repeat(5000),
  );
  for (const head of cases) {
    const bytes = ppm(head, 18);
    const result = readPpmHead(bytes, bytes.length);
    assert(!result.ok && result.why.length > 5, JSON.stringify(head));
  }
});

Deno.test("noise and cut files never give pixels that are not there", () => {
  withSeed((random) => {
    for (let round = 0; round < 20_000; round++) {
      const bytes = ppm("P6\n3 2\n255\n", 18);
      for (let n = random.below(4); n > 0; n--) bytes[random.below(14)] = random.below(256);
      const length = random.below(bytes.length + 1);
      const result = readPpmHead(bytes, length);
      if (result.ok) assert(result.dataOffset + result.width * result.height * 3 <= length);
    }
  });
});
