import { assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { cText, textOfC } from "../../../ffi/c_text.ts";

Deno.test("text for C ends with one NUL, in UTF-8", () => {
  assertEquals([...cText("aß")], [0x61, 0xc3, 0x9f, 0]);
  assertEquals([...cText("")], [0]);
});

Deno.test("a NUL inside is refused: C would see another name", () => {
  assertEquals(assertThrows(() => cText("/run/a\0/../b"), Fault).code, "bad-argument");
});

Deno.test("text of C ends at its first NUL, or with its bytes", () => {
  assertEquals(textOfC(new Uint8Array([0x61, 0xc3, 0x9f, 0, 0x62])), "aß");
  assertEquals(textOfC(new Uint8Array([0x61, 0x62])), "ab");
  assertEquals(textOfC(new Uint8Array(0)), "");
});
