/** Names that are bytes: none is lost, and none is shown like another. */
import { assert, assertEquals } from "@std/assert";
import { textOfBytes } from "../../../src/base/byte_text.ts";
import { printableName } from "../../../src/base/printable.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

const encoder = new TextEncoder();

/** The bytes that a shown name stands for: each escape is one byte, or the character that it names. */
function bytesOfShown(shown: string): number[] {
  const bytes: number[] = [];
  for (const [part, byte, point] of shown.matchAll(/\\(?:\\|x([0-9a-f]{2})|u\{([0-9a-f]+)\})|[^\\]/gu)) {
    if (byte !== undefined) bytes.push(parseInt(byte, 16));
    else if (point !== undefined) bytes.push(...encoder.encode(String.fromCodePoint(parseInt(point, 16))));
    else bytes.push(...encoder.encode(part === "\\\\" ? "\\" : part));
  }
  return bytes;
}

const shownOf = (...bytes: number[]): string => printableName(textOfBytes(new Uint8Array(bytes)));

Deno.test("what is UTF-8 is that text, byte order mark and all; each other byte is kept", () => {
  for (const text of ["", "plain", "żółw", "漢字😀", "\ufeffmark", "a\nb\\"]) {
    assertEquals(textOfBytes(encoder.encode(text)), text);
  }
  assertEquals(textOfBytes(new Uint8Array([0x61, 0xff, 0xc3, 0xa9, 0xc3])), "a\udcffé\udcc3");
  // Longer than need be, half of a pair, above U+10FFFF, cut short: no character of RFC 3629.
  for (
    const bytes of [
      [0xc0, 0x80],
      [0xc1, 0xbf],
      [0xe0, 0x9f, 0xbf],
      [0xed, 0xa0, 0x80],
      [0xf0, 0x8f, 0xbf, 0xbf],
      [0xf4, 0x90, 0x80, 0x80],
      [0xf5, 0x80, 0x80, 0x80],
      [0xe2, 0x82],
      [0x80],
    ]
  ) {
    const text = textOfBytes(new Uint8Array(bytes));
    assertEquals(text, bytes.map((byte) => String.fromCharCode(0xdc00 + byte)).join(""));
  }
  assertEquals(textOfBytes(new Uint8Array([0xed, 0x9f, 0xbf, 0xf4, 0x8f, 0xbf, 0xbf])), "\ud7ff\u{10ffff}");
});

Deno.test("one form: a newline, a backslash, a byte that is not text and a character that is none to be shown", () => {
  assertEquals(shownOf(...encoder.encode("a\nb")), "a\\x0ab");
  assertEquals(shownOf(...encoder.encode("a\\x0ab")), "a\\\\x0ab");
  assertEquals(shownOf(0x61, 0xff), "a\\xff");
  assertEquals(shownOf(0x61, 0xfe), "a\\xfe");
  assertEquals(shownOf(...encoder.encode("a\\xff")), "a\\\\xff");
  assertEquals(shownOf(0x9b), "\\x9b");
  assertEquals(shownOf(...encoder.encode("\x9b")), "\\u{9b}");
  assertEquals(shownOf(...encoder.encode("\u202e\u00ad\ufffd")), "\\u{202e}\\u{ad}\ufffd");
  assertEquals(printableName("x".repeat(10), 4), "xxxx… (6 more characters)");
});

Deno.test("whatever the bytes, they can be had back from what is shown, which moves no cursor", () => {
  withSeed((random) => {
    const units = [
      0x0a,
      0x1b,
      0x5c,
      0x78,
      0x61,
      0x7f,
      0x80,
      0xc2,
      0x9b,
      0xe2,
      0x80,
      0xae,
      0xf0,
      0x9f,
      0x98,
      0xed,
      0xa0,
      0xff,
    ];
    for (let round = 0; round < 20_000; round++) {
      const bytes = Array.from(
        { length: random.below(12) },
        () => units[random.below(units.length)] as number,
      );
      const shown = shownOf(...bytes);
      assertEquals(bytesOfShown(shown), bytes, shown);
      // deno-lint-ignore no-control-regex
      assert(!/[\x00-\x1f\x7f-\x9f\u202e]|\p{Surrogate}/u.test(shown), JSON.stringify(shown));
    }
  });
});
