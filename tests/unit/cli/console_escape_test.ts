/**
 * The escapes of a console on a terminal.
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { ConsoleEscape, escapeHelp } from "../../../src/client/cli/console_escape.ts";

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

Deno.test("console: ~? asks for help at the beginning of a line, and the line still begins behind it", () => {
  const escape = new ConsoleEscape();
  const take = (text: string) => escape.take(new TextEncoder().encode(text));
  const told = (
    { bytes, asksHelp, isLeaving }: ReturnType<typeof take>,
  ) => [bytes.length, asksHelp, isLeaving];
  assertEquals(told(take("a~?")), [3, false, false]);
  assertEquals(told(take("\r~")), [1, false, false]);
  assertEquals(told(take("?")), [0, true, false]);
  assertEquals(told(take("~?~.")), [0, true, true]);
  assertMatch(escapeHelp({ columns: 120, rows: 40 }), /~\? {2}shows.*stty rows 40 cols 120\n$/s);
  assertEquals(escapeHelp({ columns: 0, rows: 0 }).includes("stty"), false);
});
