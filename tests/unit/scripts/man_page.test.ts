import { assert, assertEquals } from "@std/assert";
import { manPage } from "../../../scripts/build/man_page.ts";
import { COMMANDS } from "../../../src/client/cli/command_table.ts";

function synopsis(page: string): string {
  return page.slice(page.indexOf(".SH SYNOPSIS"), page.indexOf(".SH DESCRIPTION"));
}

Deno.test("the synopsis says each form, and no line can be broken inside an option", async () => {
  const text = synopsis(await manPage());
  const plain = text.replaceAll("\\ ", " ").replaceAll("\\-", "-");
  for (const { usage } of Object.values(COMMANDS)) {
    for (const form of usage) assert(plain.includes(`\\fBvmsig\\fR ${form}\n`), form);
  }
  for (const line of text.split("\n")) {
    // Where a line may be broken: spaces without a backslash in front.
    let depth = 0;
    for (const part of line.split(/(?<!\\) /)) {
      assertEquals(depth, 0, `broken inside brackets: ${line}`);
      assert(!/^(?:\\-){1,2}[a-z][a-z\\-]*$/.test(part), `broken behind an option: ${line}`);
      for (const c of part) depth += c === "[" ? 1 : c === "]" ? -1 : 0;
    }
  }
});

Deno.test("troff takes the page without a complaint, at every width, and keeps options whole", async () => {
  const page = await manPage();
  for (const columns of [40, 66, 100]) {
    let process: Deno.ChildProcess;
    try {
      process = new Deno.Command("groff", {
        args: ["-man", "-Kutf8", "-Tutf8", "-ww", "-P-cbou", `-rLL=${columns}n`],
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
    } catch (error) {
      // A machine without groff: what can be said of the source is said above.
      if (error instanceof Deno.errors.NotFound) return;
      throw error;
    }
    const writer = process.stdin.getWriter();
    await writer.write(new TextEncoder().encode(page));
    await writer.close();
    const { code, stdout, stderr } = await process.output();
    const said = new TextDecoder().decode(stderr).split("\n").filter((line) =>
      !/can't break line|cannot (break|adjust)/.test(line)
    );
    assertEquals([code, said.join("")], [0, ""]);
    const text = new TextDecoder().decode(stdout);
    for (const option of ["--timeout MS]", "[--ttl MS]", "-o FILE", "[--stub N [--stub-rate HZ]]"]) {
      assert(text.includes(option), `${option} at ${columns} columns`);
    }
  }
});
