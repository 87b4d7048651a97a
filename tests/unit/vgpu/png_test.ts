import { assert, assertEquals } from "@std/assert";
import { decodePng, encodePng } from "../../../src/vgpu/png.ts";

const picture = (width: number, height: number, alpha: (pixel: number) => number) => {
  const rgba = new Uint8Array(width * height * 4);
  for (let pixel = 0; pixel < width * height; pixel++) {
    rgba.set([pixel * 7, pixel * 31, pixel >> 3, alpha(pixel)], pixel * 4);
  }
  return { width, height, rgba };
};
/** The colour type in IHDR. */
const colourType = (png: Uint8Array): number => png[25] as number;

Deno.test("a written picture is read back as it was, of any size", () => {
  for (const [width, height] of [[1, 1], [3, 2], [257, 5], [640, 480]] as const) {
    const opaque = picture(width, height, () => 255);
    const written = encodePng(opaque);
    assertEquals(colourType(written), 2);
    assertEquals(decodePng(written), opaque);
  }
});

Deno.test("what lets something through keeps its alpha", () => {
  const translucent = picture(9, 4, (pixel) => pixel * 5);
  const written = encodePng(translucent);
  assertEquals(colourType(written), 6);
  assertEquals(decodePng(written), translucent);
});

Deno.test("another reader takes the file, checksums included", async () => {
  const file = Deno.makeTempFileSync({ suffix: ".png" });
  try {
    Deno.writeFileSync(file, encodePng(picture(33, 17, () => 255)));
    const script = `
import struct, sys, zlib
data = open(sys.argv[1], "rb").read()
assert data[:8] == bytes.fromhex("89504e470d0a1a0a")
at, kinds, packed = 8, [], b""
while at < len(data):
    length, kind = struct.unpack(">I4s", data[at:at + 8])
    body = data[at + 8:at + 8 + length]
    assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0]
    kinds.append(kind.decode()); at += 12 + length
    if kind == b"IDAT": packed += body
print(kinds, len(zlib.decompress(packed)))`;
    const { success, stdout } = await new Deno.Command("python3", { args: ["-c", script, file] }).output();
    assert(success);
    assertEquals(new TextDecoder().decode(stdout).trim(), `['IHDR', 'IDAT', 'IEND'] ${(1 + 3 * 33) * 17}`);
  } finally {
    Deno.removeSync(file);
  }
});
