/** Commands are carried out one after the other, each is answered once, and nothing comes after the end. */
import { assertEquals, assertThrows } from "@std/assert";
import { AssertionFault } from "../../../src/base/assert.ts";
import { CommandTurns } from "../../../src/hosts/libvirt/command_turns.ts";

Deno.test("one command is under way at a time, and the next begins with the answer", () => {
  const begun: string[] = [];
  const turns = new CommandTurns<string>(2, (line) => begun.push(line) < 0);
  assertEquals([turns.take("a"), turns.take("b"), turns.take("c")], [true, true, true]);
  assertEquals(turns.take("d"), false, "two wait");
  assertEquals(begun, ["a"]);
  turns.answered();
  assertEquals(begun, ["a", "b"]);
  turns.answered();
  turns.answered();
  assertEquals(begun, ["a", "b", "c"]);
  assertThrows(() => turns.answered(), AssertionFault, "each command is answered once");
});

Deno.test("what is answered at once lets the next one begin", () => {
  const begun: string[] = [];
  const turns = new CommandTurns<string>(8, (line) => {
    begun.push(line);
    return line !== "slow";
  });
  for (const line of ["slow", "a", "b", "slow", "c"]) turns.take(line);
  turns.answered();
  assertEquals(begun, ["slow", "a", "b", "slow"]);
});

Deno.test("an answer that comes while the command is handed over counts, and an end as well", () => {
  const begun: string[] = [];
  const turns: CommandTurns<string> = new CommandTurns<string>(8, (line) => {
    begun.push(line);
    if (line === "end") turns.close();
    else turns.answered();
    return line === "end";
  });
  for (const line of ["a", "b", "end", "c"]) turns.take(line);
  assertEquals(begun, ["a", "b", "end"]);
  assertEquals(turns.isClosed, true);
});
