/** A text screen as CBOR: there and back, bounded, and what is no such screen. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { encode } from "cborg";
import { Fault } from "../../../src/base/fault.ts";
import { MAX_BODY_BYTES } from "../../../src/base/limits.ts";
import {
  decodeScreenText,
  encodeScreenText,
  MAX_TEXT_STYLES,
  type ScreenText,
  TextBuilder,
} from "../../../src/display/text/screen_text.ts";

function sample(): ScreenText {
  const text = new TextBuilder(4, 2);
  for (const character of "ab  ") text.add(character, 0xaaaaaa, 0);
  for (const character of "é\ufffd☺ ") text.add(character, 0xff0000, 0x0000ff);
  return text.finish("console", { column: 3, row: 1 }, 63);
}

Deno.test("screen text: built cell by cell, it has lines without blanks behind, styles by runs, and a count", () => {
  assertEquals(sample(), {
    source: "console",
    columns: 4,
    rows: 2,
    lines: ["ab", "é\ufffd☺"],
    styles: [{ foreground: 0xaaaaaa, background: 0 }, { foreground: 0xff0000, background: 0x0000ff }],
    runs: [4, 0, 4, 1],
    cursor: { column: 3, row: 1 },
    unknown: 1,
    console: 63,
  });
});

Deno.test("screen text: CBOR there and back; without a cursor; too many styles; too large for an event", () => {
  assertEquals(decodeScreenText(encodeScreenText(sample())), sample());
  const bare: ScreenText = { ...sample(), cursor: undefined, console: undefined, styles: [], runs: [] };
  assertEquals(decodeScreenText(encodeScreenText(bare)), bare);

  const colourful = new TextBuilder(320, 60);
  for (let i = 0; i < 320 * 60; i++) colourful.add("x", i, 0);
  const many = colourful.finish("glyphs");
  assertEquals(many.styles.length, MAX_TEXT_STYLES);
  assertEquals(decodeScreenText(encodeScreenText(many)), many);

  // Each cell another style than its neighbour: the runs would not fit beside the characters.
  const busy = new TextBuilder(480, 100);
  for (let i = 0; i < 480 * 100; i++) busy.add("x", i % 2 * 255, 0);
  const told = decodeScreenText(encodeScreenText(busy.finish("glyphs")));
  assertEquals([told.lines.length, told.styles, told.runs], [100, [], []]);

  const full = new TextBuilder(480, 270);
  for (let i = 0; i < 480 * 270; i++) full.add("█", 0, 0);
  const error = assertThrows(() => encodeScreenText(full.finish("glyphs")), Fault, "takes");
  assertEquals(error.code, "too-large");
});

Deno.test("screen text: what is no such screen is refused", () => {
  const good = {
    source: 1,
    columns: 4,
    rows: 1,
    lines: ["ab"],
    unknown: 0,
    cursor: [0, 0],
    styles: [0, 1],
    runs: [4, 0],
  };
  const accepted = decodeScreenText(encode(good));
  assertEquals([accepted.source, accepted.lines], ["glyphs", ["ab"]]);
  for (
    const change of [
      { source: 3 },
      { source: "vga" },
      { columns: 0 },
      { columns: 1.5 },
      { columns: 65_536, rows: 65_536, lines: [] },
      { lines: ["ab", "c"] },
      { lines: ["abcde"] },
      { lines: [1] },
      { lines: "ab" },
      { unknown: 5 },
      { unknown: -1 },
      { cursor: [4, 0] },
      { cursor: [0, 1] },
      { cursor: [0] },
      { cursor: "x" },
      { styles: [0] },
      { styles: [0, 0x100_0000] },
      { styles: new Array(2 * MAX_TEXT_STYLES + 2).fill(0) },
      { runs: [3, 0] },
      { runs: [4, 1] },
      { runs: [4] },
      { runs: [0, 0, 4, 0] },
      { runs: [5, 0] },
      { console: 0 },
      { console: 64 },
    ]
  ) {
    const what = JSON.stringify(change).slice(0, 60);
    const error = assertThrows(
      () => decodeScreenText(encode({ ...good, ...change })),
      Fault,
      undefined,
      what,
    );
    assertEquals(error.code, "protocol-error", what);
  }
  for (const value of [null, [], 1, "text", [good]]) {
    assertThrows(() => decodeScreenText(encode(value)), Fault, "Cannot read a screen's text");
  }
  assertThrows(() => decodeScreenText(new Uint8Array(MAX_BODY_BYTES + 1)), Fault);
  assertThrows(() => decodeScreenText(new Uint8Array(0)), Fault);
  // Characters beyond the first plane take two units of a string, and one cell.
  const wide = decodeScreenText(encode({ ...good, lines: ["𝐀𝐁𝐂𝐃"] }));
  assert(wide.lines[0]!.length === 8);
});
