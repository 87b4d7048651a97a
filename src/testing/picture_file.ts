/**
 * A picture that a test names: pixels, or the path of a PNG file.
 * @module
 */
import { Fault, messageOf } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import type { Picture } from "../vgpu/picture.ts";
import { decodePng } from "../vgpu/png.ts";

/** Bytes of a PNG file at most: a screen of 16 megapixels that does not compress. */
const MAX_FILE_BYTES = 64 << 20;

/**
 * The pixels.
 *
 * @throws {Fault} `bad-argument` when the file cannot be read or is not a PNG
 */
export async function pictureFrom(wanted: Picture | string): Promise<Picture> {
  if (typeof wanted !== "string") return wanted;
  const bad = (why: string, cause?: unknown): Fault =>
    new Fault("bad-argument", `Cannot take the picture ${printable(wanted)}: ${why}`, { cause });
  const info = await Deno.stat(wanted).catch((error) => {
    throw bad(messageOf(error), error);
  });
  if (!info.isFile) throw bad("it is not a plain file");
  if (info.size > MAX_FILE_BYTES) throw bad(`it has more than ${MAX_FILE_BYTES} bytes`);
  return decodePng(await Deno.readFile(wanted));
}
