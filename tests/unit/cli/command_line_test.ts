import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { closestName } from "../../../src/base/closest_name.ts";
import type { CommandModule } from "../../../src/client/cli/command.ts";
import { parseCommandLine } from "../../../src/client/cli/command_line.ts";

const COMMAND: CommandModule = {
  args: { min: 1, max: 3 },
  options: {
    count: { takes: "number", value: "N", min: 1, max: 10, help: "" },
    kind: { takes: "list", help: "" },
    output: { takes: "text", letter: "o", help: "" },
    loud: { takes: "nothing", help: "" },
  },
  details: "",
  examples: [],
  run: () => Promise.resolve(),
};
const parse = (...argv: string[]) => parseCommandLine("try", COMMAND, argv);

function refused(...argv: string[]): string {
  const fault = assertThrows(() => parse(...argv), Fault) as Fault;
  assertEquals(fault.code, "usage");
  return fault.message;
}

Deno.test("options and arguments may be mixed", () => {
  const line = parse(
    "a",
    "--count",
    "3",
    "b",
    "-o",
    "x.png",
    "--loud",
    "--kind=A,B",
    "--kind",
    "C",
    "--json",
  );
  assertEquals(line.args, ["a", "b"]);
  assertEquals(line.options, { count: 3, output: "x.png", loud: true, kind: ["A", "B", "C"], json: true });
  assertEquals(line.rest, undefined);
});

Deno.test("arguments stay text: leading zeros, negative numbers, exponents", () => {
  assertEquals(parse("007", "-3", "1e3").args, ["007", "-3", "1e3"]);
  assertEquals(parse("-0.5").args, ["-0.5"]);
});

Deno.test("what follows -- is arguments, whatever it begins with", () => {
  const line = parse("a", "--", "--count", "-x");
  assertEquals(line.args, ["a", "--count", "-x"]);
  assertEquals(line.rest, undefined);
});

Deno.test("a command that takes a command gets it apart", () => {
  const line = parseCommandLine("try", { ...COMMAND, takesCommand: true }, [
    "a",
    "--loud",
    "--",
    "sleep",
    "--",
    "-1",
  ]);
  assertEquals(line.args, ["a"]);
  assertEquals(line.rest, ["sleep", "--", "-1"]);
});

Deno.test("what cannot be understood is refused, with what could have been meant", () => {
  assertStringIncludes(refused("a", "--cuont", "3"), "--cuont (did you mean --count?)");
  assertStringIncludes(refused("a", "--nothing-like-it"), "there is no option --nothing-like-it;");
  assertStringIncludes(refused("a", "-z"), "there is no option -z");
  assertStringIncludes(refused("a", "--count", "11"), "from 1 to 10");
  assertStringIncludes(refused("a", "--count", "0"), "from 1 to 10");
  assertStringIncludes(refused("a", "--count", "1e1"), "must be a whole number");
  assertStringIncludes(refused("a", "--count", "-3"), "from 1 to 10");
  assertStringIncludes(refused("a", "--count"), "--count needs a value");
  assertStringIncludes(refused("a", "-o"), "--output needs a value");
  assertStringIncludes(refused("a", "--kind", ""), "--kind needs a value");
  assertStringIncludes(refused("a", "--kind", "A,,B"), "--kind needs a value");
  assertStringIncludes(refused(), "an argument is missing");
  assertStringIncludes(refused("a", "b", "c", "d"), "one argument too many: d");
});

Deno.test("--help is understood without the arguments", () => {
  assertEquals(parse("--help").options["help"], true);
  assertEquals(parse("-h").options["help"], true);
});

Deno.test("the closest name is told only when it is close", () => {
  const names = ["ls", "watch", "version", "vm", "lease"];
  assertEquals(closestName("wacth", names), "watch");
  assertEquals(closestName("WATCH", names), "watch");
  assertEquals(closestName("sl", names), "ls");
  assertEquals(closestName("verison", names), "version");
  assertEquals(closestName("frobnicate", names), undefined);
});
