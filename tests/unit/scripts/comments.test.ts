import { assertEquals } from "@std/assert";
import { commentFaults } from "../../../scripts/build/comments.ts";

const only = (...names: string[]) => (name: string) => names.includes(name);

Deno.test("comments: a wide one, a file that is not there, and a citation nobody can open are told with their line", () => {
  const text = [
    "// short, and names core.ts",
    `// ${"x".repeat(120)}`,
    "/** See gone.ts. */",
    " * as the seed header 001 says",
    " * (contract, section 2)",
    "const url = 'other.ts'; // fine",
    `const long = "${"y".repeat(120)}";`,
  ].join("\n");
  assertEquals(commentFaults("src/a.ts", text, only("core.ts")), [
    "src/a.ts:2: a comment of 123 columns; wrap it at 110",
    "src/a.ts:3: names gone.ts, and there is no such file",
    "src/a.ts:4: cites what a stranger cannot open: seed header",
    "src/a.ts:5: cites what a stranger cannot open: (contract",
  ]);
});

Deno.test("comments: code is none, whatever it begins with", () => {
  assertEquals(commentFaults("a.c", `    *head = "${"z".repeat(120)}";`, only()), []);
  assertEquals(commentFaults("run.sh", `#!/bin/sh ${"z".repeat(120)}\n# see gone.sh`, only()), [
    "run.sh:2: names gone.sh, and there is no such file",
  ]);
});
