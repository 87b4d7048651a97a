/**
 * Keyboard layouts: strokes that are known from the keyboards themselves, and every layout's whole text typed
 * into libxkbcommon's own state machine, where it is installed (scripts/setup.sh brings it).
 */
import { assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { keyboardLayout, LAYOUT_NAMES } from "../../../src/client/keyboard_layout.ts";
import { keyCode } from "../../../src/client/key_codes.ts";
import { framesOfText, US_LAYOUT } from "../../../src/client/us_layout.ts";
import { typeIntoXkb } from "../../fixtures/xkb_typist.ts";

/** The keys that are pressed for a text, in order, by name. */
function pressed(layout: string, text: string): string {
  const names = ["leftshift", "rightalt", "equal", "e", "q", "y", "z", "a", "m", "1", "2", "grave", "space"];
  return keyboardLayout(layout).framesOfText(text).map((records) =>
    records.filter(({ value }) => value === 1)
      .map(({ code }) => names.find((name) => keyCode(name) === code) ?? code).join("+")
  ).join(" ");
}

Deno.test("known strokes of German, French and others", () => {
  assertEquals(pressed("de", "zy"), "y z");
  assertEquals(pressed("de", "@"), "rightalt+q");
  assertEquals(pressed("de", "é"), "equal e");
  assertEquals(pressed("de", "É"), "equal leftshift+e");
  assertEquals(pressed("de", "^"), "grave space");
  assertEquals(pressed("de-nodeadkeys", "^"), "grave");
  assertEquals(pressed("fr", "aq1"), "q a leftshift+1");
  assertEquals(pressed("fr", "é"), "2");
  assertEquals(pressed("gb", '"'), "leftshift+2");
});

Deno.test("a text's decomposed characters are typed as the composed ones", () => {
  assertEquals(pressed("de", "e\u0301"), "equal e");
});

Deno.test("the US layout of the tables is the one that is always at hand", () => {
  const text = [...US_LAYOUT.keys()].join("");
  assertEquals(keyboardLayout("us").framesOfText(text), framesOfText(text));
});

Deno.test("every frame leaves the keyboard neutral", () => {
  for (const name of LAYOUT_NAMES) {
    for (const records of keyboardLayout(name).framesOfText("az09")) {
      const down = new Set<number>();
      for (const { code, value } of records) value === 1 ? down.add(code) : down.delete(code);
      assertEquals(down.size, 0);
    }
  }
});

Deno.test("what is not on the layout is refused whole, and it is told where it is", () => {
  const fault = assertThrows(() => keyboardLayout("us").framesOfText("Größe"), Fault);
  assertEquals(fault.code, "bad-argument");
  assertEquals(
    /character 3 \("ö", U\+00F6\) is not on the us layout \(it is on: .*\bde\b/.test(fault.message),
    true,
    fault.message,
  );
  const nowhere = assertThrows(() => keyboardLayout("de").framesOfText("中"), Fault);
  assertEquals(nowhere.message.includes("it is on"), false, nowhere.message);
  const unknown = assertThrows(() => keyboardLayout("deu"), Fault);
  assertEquals(unknown.message.includes("did you mean de?"), true, unknown.message);
});

for (const name of LAYOUT_NAMES) {
  Deno.test(`libxkbcommon reads what is typed on ${name}`, () => {
    const layout = keyboardLayout(name);
    // Everything up to Latin Extended-A, and the signs of currencies.
    const text = Array.from({ length: 0x180 - 0x20 }, (_, i) => String.fromCodePoint(0x20 + i))
      .concat("€", "₺", "„", "“")
      .filter((character) => character !== "\u00ad" && layout.strokesOf(character) !== undefined)
      .join("");
    assertEquals(typeIntoXkb(name, layout.framesOfText(text)), text);
  });
}
