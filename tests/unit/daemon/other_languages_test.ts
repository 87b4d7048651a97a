import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { serveStubs } from "../../bench/served.ts";

/** Runs a program to its end. */
async function run(program: string, args: readonly string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    stdout: "piped",
    stderr: "piped",
  })
    .output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

function here(path: string): string {
  return new URL(path, import.meta.url).pathname;
}

Deno.test("a control in Python, written from the protocol alone, joins and steers", async () => {
  await using daemon = await serveStubs(2);
  const { code, text } = await run("python3", [here("../../python/control.py"), daemon.socket, "stub1"]);
  assertEquals(code, 0, text);
  assertStringIncludes(text, "roster: stub1 is endpoint 1, state 2");
  assertStringIncludes(text, "refused, and that is its one answer");
  assertStringIncludes(text, "refused with stale-lease");
});

Deno.test("a control in C, written from the protocol alone, joins and steers", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-c-" });
  try {
    const program = `${folder}/control`;
    const built = await run("cc", [
      "-std=gnu11",
      "-O2",
      "-Wall",
      "-Wextra",
      "-o",
      program,
      here("../../c/control.c"),
    ]);
    assertEquals(built.code, 0, built.text);
    await using daemon = await serveStubs(1);
    const { code, text } = await run(program, [daemon.socket, "stub0"]);
    assertEquals(code, 0, text);
    assert(text.endsWith("released\n"), text);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
