/** The sanitiser: whatever comes in, what goes out is one line that moves no cursor, is bounded, and can be told from every other. */
import { assert, assertEquals } from "@std/assert";
import { oneLine, printable } from "../../src/base/printable.ts";
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
