import { assertEquals } from "@std/assert";
import { commentFaults, lengthFaults, linkFaults } from "../../../scripts/build/comments.ts";

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

Deno.test("a source above 400 lines is told with its length; tests and pages may be longer", () => {
  const lines = (count: number) => "x;\n".repeat(count);
  assertEquals(lengthFaults("src/core/a.ts", lines(400)), []);
  for (
    const path of [
      "src/core/a.ts",
      "ffi/a.ts",
      "scripts/build/a.ts",
      "scripts/controls/a.py",
      "main.ts",
    ]
  ) {
    assertEquals(lengthFaults(path, lines(401)), [
      `${path}:401: a file of 401 lines; split it by concept, 400 at most`,
    ]);
  }
  for (const path of ["tests/unit/core/a.ts", "src/SECURITY.md"]) {
    assertEquals(lengthFaults(path, lines(900)), []);
  }
});

Deno.test("comments: code is none, whatever it begins with", () => {
  assertEquals(commentFaults("a.c", `    *head = "${"z".repeat(120)}";`, only()), []);
  assertEquals(commentFaults("run.sh", `#!/bin/sh ${"z".repeat(120)}\n# see gone.sh`, only()), [
    "run.sh:2: names gone.sh, and there is no such file",
  ]);
});

Deno.test("a page's link that leads nowhere is told with file and line", () => {
  const files: Record<string, string> = {
    "src/SECURITY.md": "# Who may what\n## `mem` and more\n## Twice\n## Twice\n",
    "README.md": "x",
    "tests": "",
  };
  const read = (path: string) => files[path];
  const good = [
    "[a](src/SECURITY.md) [b](src/SECURITY.md#who-may-what) [c](./README.md) [d](https://example.org/x.md)",
    "[e](src/SECURITY.md#mem-and-more) [f](src/SECURITY.md#twice-1) [g](#here) ![h](/README.md) [i](tests)",
    '[j](README.md "a title") [k](mailto:a@example.org) `[l](nowhere.md)`',
    "## Here",
    "```md",
    "[m](nowhere.md)",
    "```",
  ].join("\n");
  assertEquals(linkFaults("page.md", good, read), []);
  const bad = [
    "[a](nowhere.md)",
    "fine",
    "[b](src/SECURITY.md#nothing) and [c](#nothing)",
    "[d](<src/none.md>)",
    "[e]: other.md",
  ].join("\n");
  assertEquals(linkFaults("page.md", bad, read), [
    "page.md:1: links to nowhere.md, and there is no such file",
    "page.md:3: links to src/SECURITY.md#nothing, and there is no such heading",
    "page.md:3: links to #nothing, and there is no such heading",
    "page.md:4: links to src/none.md, and there is no such file",
    "page.md:5: links to other.md, and there is no such file",
  ]);
  assertEquals(linkFaults("src/x.md", "[a](SECURITY.md) [b](../README.md)", read), []);
  assertEquals(linkFaults("src/x.md", "[a](README.md)", read).length, 1);
});
