import { assertEquals, assertMatch } from "@std/assert";
import { oneLine, printable } from "../../../src/base/printable.ts";

Deno.test("printable: what moves a cursor, hides or reorders text is escaped, and the rest stands", () => {
  const rows: [string, string][] = [
    ["plain text, ümläut, 漢字, 😀", "plain text, ümläut, 漢字, 😀"],
    ["a\nb\tc\0d", "a\\x0ab\\x09c\\x00d"],
    ["\x1b[2J", "\\x1b[2J"],
    ["\x7f\x80\x9b", "\\x7f\\x80\\x9b"],
    ["abc\u202etxt.exe", "abc\\u{202e}txt.exe"],
    ["\u2066\u2069\u061c\u200f", "\\u{2066}\\u{2069}\\u{61c}\\u{200f}"],
    ["zero\u200bwidth\ufeff", "zero\\u{200b}width\\u{feff}"],
    ["line\u2028sep\u2029", "line\\u{2028}sep\\u{2029}"],
    ["half \ud800 pair", "half \\u{d800} pair"],
    ["tag \u{e0041}", "tag \\u{e0041}"],
    ["back\\slash \\x0a", "back\\\\slash \\\\x0a"],
  ];
  for (const [text, shown] of rows) assertEquals(printable(text), shown);
});

Deno.test("printable: it is bounded, says how much is left out, and cuts no pair in two", () => {
  const long = printable("x".repeat(70_000));
  assertEquals(long, `${"x".repeat(512)}… (69488 more characters)`);
  assertEquals(printable("abc😀def", 4), "abc… (5 more characters)");
  assertEquals(printable("abc😀def", 5), "abc😀… (3 more characters)");
});

Deno.test("printable: two different texts are never shown alike", () => {
  const shown = new Map<string, string>();
  const units = ["\\", "x", "0", "a", "\n", "u", "{", "}", "\u202e", "2"];
  for (const a of units) {
    for (const b of units) {
      for (const c of units) {
        const text = `${a}${b}${c}`;
        const form = printable(text);
        assertEquals(shown.get(form) ?? text, text);
        shown.set(form, text);
        assertMatch(form, /^[\x20-\x7e]*$/);
      }
    }
  }
});

Deno.test("oneLine: text that holds escaped parts is not escaped twice", () => {
  assertEquals(oneLine("name a\\x0ab\nsecond\u202e"), "name a\\x0ab\\x0asecond\\u{202e}");
});
