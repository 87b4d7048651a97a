/**
 * The escape that leaves a console.
 * @module
 */
import { assertEquals } from "@std/assert";
import { ConsoleEscape } from "../../../src/client/cli/console_escape.ts";

/** What goes to the guest of some pieces, and whether the person left. */
function typed(...pieces: string[]): [string, boolean] {
  const escape = new ConsoleEscape();
  let text = "";
  for (const piece of pieces) {
    const { bytes, isLeaving } = escape.take(new TextEncoder().encode(piece));
    text += new TextDecoder().decode(bytes);
    if (isLeaving) return [text, true];
  }
  return [text, false];
}

Deno.test("console: a tilde and a dot at the beginning of a line leave, and nothing else does", () => {
  assertEquals(typed("~."), ["", true]);
  assertEquals(typed("ls\r~", "."), ["ls\r", true]);
  assertEquals(typed("ls ~.\r"), ["ls ~.\r", false]);
  assertEquals(typed("~~.\r"), ["~.\r", false]);
  assertEquals(typed("~x"), ["~x", false]);
  assertEquals(typed("cd ~\r~", "/\r"), ["cd ~\r~/\r", false]);
  assertEquals(typed("~\r~."), ["~\r", true]);
});
