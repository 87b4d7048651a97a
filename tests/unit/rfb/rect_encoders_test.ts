/**
 * Raw, ZRLE and Tight: what a viewer makes of the bytes is the picture, in every format and for every sort of
 * content, whatever was sent before, and whatever a viewer has missed.
 * @module
 */
import { assertEquals } from "@std/assert";
import { BGRX, type PixelFormat } from "../../../src/rfb/pixel_format.ts";
import { ENCODING } from "../../../src/rfb/protocol.ts";
import { EncoderGroups } from "../../../src/rfb/server/encoder_group.ts";
import { MAPPED } from "../../../src/rfb/server/pixel_codec.ts";
import { rectHead, updateHead } from "../../../src/rfb/server/server_messages.ts";
import { SharedPicture } from "../../../src/rfb/server/shared_picture.ts";
import { zrleRect } from "../../../src/rfb/server/zrle_encoder.ts";
import { joined } from "../../fixtures/rfb_bytes.ts";
import { SeenPicture, valueOf } from "../../fixtures/rfb_viewer.ts";
import { type SeededRandom, withSeed } from "../../fixtures/seeded_random.ts";

const FORMATS: readonly PixelFormat[] = [
  BGRX,
  { ...BGRX, bigEndian: true },
  { ...BGRX, shift: [24, 16, 8] },
  { ...BGRX, shift: [24, 16, 8], bigEndian: true },
  { ...BGRX, depth: 32 },
  { ...BGRX, max: [1023, 1023, 1023], shift: [20, 10, 0], depth: 30 },
  { bitsPerPixel: 16, depth: 16, bigEndian: false, trueColour: true, max: [31, 63, 31], shift: [11, 5, 0] },
  { bitsPerPixel: 16, depth: 15, bigEndian: true, trueColour: true, max: [31, 31, 31], shift: [10, 5, 0] },
  MAPPED,
];

/** Content of each sort: one colour, few, many, noise, runs. */
function paint(words: Int32Array, random: SeededRandom): void {
  const colours = [1, 2, 3, 5, 16, 17, 100, 127, 128, 256, 257, 5000][random.below(12)] as number;
  const palette = Array.from({ length: colours }, () => random.u32() & 0xff_ffff);
  const longest = [1, 2, 20, 700][random.below(4)] as number;
  for (let i = 0; i < words.length;) {
    const colour = palette[random.below(colours)] as number;
    for (let left = 1 + random.below(longest); left > 0 && i < words.length; left--) words[i++] = colour;
  }
}

for (const encoding of [ENCODING.RAW, ENCODING.ZRLE, ENCODING.TIGHT]) {
  Deno.test(`rectangles of encoding ${encoding} show what the picture shows, in every format`, () => {
    withSeed((random) => {
      for (const format of FORMATS) {
        const picture = new SharedPicture();
        const encoders = new EncoderGroups(picture);
        let seen: SeenPicture | undefined;
        for (let round = 0; round < 30; round++) {
          if (round % 10 === 0) {
            picture.resize(1 + random.below(200), 1 + random.below(150));
            seen = new SeenPicture(picture.width, picture.height, format);
          }
          paint(picture.words, random);
          picture.version++;
          const x = random.below(picture.width);
          const y = random.below(picture.height);
          const width = 1 + random.below(picture.width - x);
          const height = 1 + random.below(picture.height - y);
          const encoded = encoders.encode({ format, encoding, level: 1 + random.below(9) }, {
            x,
            y,
            width,
            height,
          });
          assertEquals(encoded.encoding, encoding);
          // This viewer does not get it.
          if (round % 10 !== 0 && random.oneIn(3)) continue;
          const bytes = encoding === ENCODING.ZRLE ? zrleRect(encoded, round % 10 === 0) : encoded.bytes;
          const whole = joined(updateHead(1), rectHead({ x, y, width, height }, encoding), bytes);
          assertEquals(seen?.update(whole).length, whole.length);
          for (let row = y; row < y + height; row++) {
            for (let i = row * picture.width + x, end = i + width; i < end; i++) {
              const wanted = valueOf(format, picture.words[i] as number);
              if (seen?.values[i] !== wanted) throw new Error(`pixel ${i}: ${seen?.values[i]} for ${wanted}`);
            }
          }
        }
      }
    });
  });
}

Deno.test("a rectangle is encoded once for all viewers of a format, until the picture changes", () => {
  const picture = new SharedPicture();
  picture.resize(64, 64);
  const encoders = new EncoderGroups(picture);
  const rect = { x: 0, y: 0, width: 64, height: 64 };
  const wish = { format: BGRX, encoding: ENCODING.TIGHT, level: 4 };
  const first = encoders.encode(wish, rect);
  assertEquals(encoders.encode({ ...wish }, { ...rect }) === first, true);
  assertEquals(encoders.encode({ ...wish, level: 5 }, rect) === first, false);
  picture.take(new Int32Array(64 * 64).fill(7), 64, rect);
  assertEquals(encoders.encode(wish, rect) === first, false);
});
