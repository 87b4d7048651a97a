import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { remade } from "../../../scripts/build/pages.ts";

const PAGE = "src/v2v/RING.md";

Deno.test("pages: a table is made anew in its place, and the prose around it stays", () => {
  const page = "before\n<!-- table: header -->\nold\nrows\n<!-- end of table -->\nbetween\n" +
    "<!-- table: control -->\n<!-- end of table -->\nafter\n";
  const made = remade(PAGE, page);
  assert(!made.includes("old"));
  assertStringIncludes(made, "| 0x000C | u32 | generation |");
  assertStringIncludes(made, "| 0x4 | u32 | prodEvent |");
  assertEquals(made.split("\n").filter((line) => /^(before|between|after)$/.test(line)).length, 3);
  assertEquals(remade(PAGE, made), made, "made once more it is the same");
});

Deno.test("pages: a table without a place, and a place without a table, are told", () => {
  assertThrows(
    () => remade(PAGE, "<!-- table: header -->\n<!-- end of table -->\n"),
    Error,
    "no place for the tables control",
  );
  assertThrows(
    () => remade(PAGE, "<!-- table: nonsense -->\n"),
    Error,
    "asks for a table nonsense that nobody makes",
  );
});
