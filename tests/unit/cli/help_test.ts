import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { CommandEntry, CommandModule } from "../../../src/client/cli/command.ts";
import { COMMANDS } from "../../../src/client/cli/command_table.ts";
import { commandHelp, overview } from "../../../src/client/cli/help.ts";

const ENTRY = COMMANDS.held as CommandEntry;

function commandOf(details: string, help: string): CommandModule {
  return {
    options: { slow: { takes: "nothing", help }, "a-very-long-name": { takes: "text", help: "short" } },
    details,
    examples: [],
    run: () => Promise.resolve(),
  };
}

Deno.test("help: paragraphs fill the width, indented lines and empty ones stand as they are", () => {
  const text = commandHelp(
    "held",
    ENTRY,
    commandOf("one two\nthree four\n\n  kept   as it is\nfive", "x"),
    14,
  );
  const lines = text.split("\n");
  const from = lines.indexOf("one two three");
  assertEquals(lines.slice(from, from + 5), ["one two three", "four", "", "  kept   as it is", "five"]);
});

Deno.test("help: what an option does is indented under itself, and stands below a name that is too long", () => {
  const lines = commandHelp("held", ENTRY, commandOf("x", "aaaa bbbb cccc"), 31).split("\n");
  const from = lines.indexOf("  --slow             aaaa bbbb");
  assert(from > 0, lines.join("\n"));
  assertEquals(lines[from + 1], "                     cccc");
  const long = lines.indexOf("  --a-very-long-name VALUE");
  assertEquals(lines[long + 1], "                     short");
});

Deno.test("help: every command's text keeps to the width that it is given, and loses no word", async () => {
  for (const [name, entry] of Object.entries(COMMANDS)) {
    const command = await entry.load();
    for (const width of [50, 80, 100]) {
      const text = commandHelp(name, entry, command, width);
      const [, rest = ""] = text.split(`vmsig ${entry.usage.at(-1)}\n`);
      const [prose = ""] = rest.split("\nexamples:");
      for (const line of prose.split("\n")) {
        const isOneWord = !line.trim().includes(" ");
        // An example among the prose is copied, not wrapped.
        const isAsItStands = line.startsWith(" ") && command.details.split("\n").includes(line);
        assert(line.length <= width || isOneWord || isAsItStands, `${name}, ${width} columns: ${line}`);
      }
      const words = command.details.split(/\s+/).filter((word) => word !== "");
      assertStringIncludes(` ${prose.split(/\s+/).join(" ")} `, ` ${words.join(" ")} `);
    }
  }
});

Deno.test("help: the overview names every command", () => {
  const lines = overview(COMMANDS, 80).split("\n");
  for (const name of Object.keys(COMMANDS)) {
    assert(lines.some((line) => line.startsWith(`  ${name} `)), name);
  }
});
