/** Text off a picture: by the real tesseract where it is installed, and what to install where it is not. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { recognise } from "../../../src/client/ocr.ts";
import { vgaFonts } from "../../../src/display/text/glyph_font.ts";
import type { Picture } from "../../../src/vgpu/picture.ts";

/** Words in the firmware's font, white on black, as a boot loader draws them. */
function drawn(lines: readonly string[]): Picture {
  const font = vgaFonts().find(({ width, height }) => height === 16 && width <= 9);
  if (font === undefined) throw new Error("there is no font of 16 rows");
  const { width: cell, height, characters, rows } = font;
  const [width, tall] = [640, 20 + lines.length * 24];
  const rgba = new Uint8Array(width * tall * 4);
  for (let i = 3; i < rgba.length; i += 4) rgba[i] = 255;
  for (const [n, line] of lines.entries()) {
    for (const [column, letter] of [...line].entries()) {
      const glyph = characters.indexOf(letter);
      for (let row = 0; row < height; row++) {
        const bits = rows[glyph * height + row] ?? 0;
        for (let bit = 0; bit < cell; bit++) {
          if (((bits >>> (cell - 1 - bit)) & 1) === 0) continue;
          const at = ((10 + n * 24 + row) * width + 10 + column * cell + bit) * 4;
          rgba.fill(255, at, at + 3);
        }
      }
    }
  }
  return { width, height: tall, rgba };
}

async function isInstalled(): Promise<boolean> {
  return await new Deno.Command("tesseract", { args: ["--version"], stdout: "null", stderr: "null" }).output()
    .then(() => true, () => false);
}

Deno.test("ocr: words of a picture, or what to install", async () => {
  const picture = drawn(["Welcome to the installer", "Press Enter to continue"]);
  if (!await isInstalled()) {
    const fault = await assertRejects(() => recognise(picture), Fault);
    assertEquals(fault.code, "missing");
    assertStringIncludes(fault.message, "apt-get install tesseract-ocr tesseract-ocr-eng");
    return;
  }
  const text = (await recognise(picture)).join("\n");
  assertStringIncludes(text, "to the installer");
  assertStringIncludes(text, "to continue");
  const other = await assertRejects(() => recognise(picture, { language: "tlh+eng" }), Fault);
  assertEquals(other.code, "missing");
  assertStringIncludes(other.message, "tesseract-ocr-tlh");
});

Deno.test("ocr: a language that is not one, and a wait that is given up", async () => {
  const picture = drawn(["x"]);
  for (const language of ["", "eng;ls", "../x", "e"]) {
    assertEquals((await assertRejects(() => recognise(picture, { language }), Fault)).code, "bad-argument");
  }
  if (!await isInstalled()) return;
  const signal = AbortSignal.abort();
  assertEquals((await assertRejects(() => recognise(picture, { signal }), Fault)).code, "interrupted");
});
