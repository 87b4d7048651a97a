/**
 * The sanitiser: whatever comes in, what goes out is one line that moves no cursor, is bounded, and can be
 * told from every other.
 */
import { assert, assertEquals } from "@std/assert";
import { textOfBytes } from "../../src/base/byte_text.ts";
import { oneLine, printable, printableName } from "../../src/base/printable.ts";
import { fuzz } from "./harness.ts";

// C0, DEL, C1; what changes the direction of text; separators; the invisible; halves of pairs.
const UNSAFE =
  // deno-lint-ignore no-control-regex
  /[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\p{Surrogate}|[\u{e0000}-\u{e007f}]/u;

const wide = (text: string) => new Uint8Array(Uint16Array.from(text, (c) => c.charCodeAt(0)).buffer);

/** Undoes the escapes. */
function read(text: string): string {
  return text.replace(/\\(?:\\|x([0-9a-f]{2})|u\{([0-9a-f]+)\})/g, (all, two, more) => {
    if (all === "\\\\") return "\\";
    return String.fromCodePoint(parseInt(two ?? more, 16));
  });
}

fuzz({
  name: "printable",
  corpus: () =>
    ["plain", "a\x1b[2Jb\r\n", "\u202eevil\u2066", "back\\slash\\x41", "\ud83d\ude00\ud800", "x".repeat(600)]
      .map(wide),
  largest: 8192,
  words: ["\x1b", "\x9b", "\u2028", "\u200f", "\\", "\\x1b", "\\u{202e}", "\udc00", "\ud83d\ude00"].map(wide),
  decode: (input) => {
    // Halves of pairs as they come: a decoder would mend them.
    let text = "";
    for (let at = 0; at + 1 < input.length; at += 2) {
      text += String.fromCharCode((input[at] as number) | ((input[at + 1] as number) << 8));
    }
    const shown = printable(text);
    assert(!UNSAFE.test(shown) && !UNSAFE.test(oneLine(text)), "nothing unsafe is left");
    assert(shown.length <= 10 * 512 + 40, `${shown.length} characters`);
    if (text.length > 512) return "cut";
    assertEquals(read(shown), text);
    return shown === text ? "as it was" : "escaped";
  },
  mustMeet: ["cut", "as it was", "escaped"],
});

/** The bytes that a shown name stands for. */
function bytesOfName(shown: string): Uint8Array {
  const bytes: number[] = [];
  for (const [part, byte, point] of shown.matchAll(/\\(?:\\|x([0-9a-f]{2})|u\{([0-9a-f]+)\})|[^\\]/gu)) {
    if (byte !== undefined) bytes.push(parseInt(byte, 16));
    else {
      const text = point !== undefined
        ? String.fromCodePoint(parseInt(point, 16))
        : part === "\\\\"
        ? "\\"
        : part;
      bytes.push(...new TextEncoder().encode(text));
    }
  }
  return new Uint8Array(bytes);
}

fuzz({
  name: "names of bytes",
  corpus: () => ["plain", "a\x1b[2Jb\r\n", "\u202eevil\u2066", "back\\slash\\xff", "\ud83d\ude00", "\ufeffż"],
  largest: 512,
  words: ["\x1b", "\xff", "\\xff", "\\u{9b}", "\u202e", "\u009b", "\ud83d\ude00"],
  decode: (input) => {
    const shown = printableName(textOfBytes(input));
    assert(!UNSAFE.test(shown), "nothing unsafe is left");
    assertEquals(bytesOfName(shown), Uint8Array.from(input));
    return shown === new TextDecoder().decode(input) ? "as it was" : "escaped";
  },
  mustMeet: ["as it was", "escaped"],
});
