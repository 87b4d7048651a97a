/**
 * Follows src/mcp/README.md literally: an agent's first ten minutes. Its commands run in a shell, its
 * programs as they stand there, its config is the daemon's; only the port is another one, and the VM is the
 * test's own.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { DEMO_GUEST } from "../../scripts/demo_guest.ts";
import { scratchMachine } from "../../src/testing/mod.ts";
import { buildGuest } from "./build.ts";
import { McpServerProcess } from "./mcp_sdk.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** Reached by a hang alone. */
const timeoutMs = 300_000;

/** The fenced blocks of a language, in order. */
function blocksOf(page: string, language: string): string[] {
  return [...page.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, name]) => name === language).map(([, , code = ""]) => code);
}

Deno.test("mcp: the page of the first ten minutes, to the letter", async (t) => {
  const page = await Deno.readTextFile(`${ROOT}src/mcp/README.md`);
  const [begin = "", run = "", serve = ""] = blocksOf(page, "sh");
  const [first = "", second = ""] = blocksOf(page, "ts");
  const [config = ""] = blocksOf(page, "toml");
  const [printed = ""] = blocksOf(page, "text");
  const { kernelPath: kernel, initrdPath: initrd } = await buildGuest(DEMO_GUEST);
  const folder = await Deno.makeTempDir({ prefix: "vmsig-mcp-page-" });
  try {
    await using scratch = await scratchMachine({
      name: "web",
      kernel,
      initrd,
      append: "console=ttyS0 console=tty0 no_timer_check random.trust_cpu=on",
      memoryMiB: 256,
      accelerator: "tcg",
      timeoutMs,
      artifacts: folder,
      config: config.replace("1000", `${Deno.uid()}`),
    });
    await Deno.mkdir(`${folder}/bin`);
    // The library's name is found as in a project of one's own.
    const program = (name: string, words: string) =>
      Deno.writeTextFile(
        `${folder}/bin/${name}`,
        `#!/bin/sh\nexec '${Deno.execPath()}' run -q --no-check --config '${ROOT}deno.json' ${words}\n`,
        { mode: 0o755 },
      );
    await program("vmsig", `-A '${ROOT}main.ts' "$@"`);
    await program("deno", '"$2" "$3"');
    const shell = async (words: string): Promise<string> => {
      const { code, stdout, stderr } = await new Deno.Command("bash", {
        args: ["-eo", "pipefail", "-c", words],
        cwd: folder,
        env: {
          NO_COLOR: "1",
          PATH: `${folder}/bin:${Deno.env.get("PATH") ?? "/usr/bin:/bin"}`,
          VMSIG_SOCKET: scratch.socket,
        },
        stdin: "null",
      }).output();
      const decoder = new TextDecoder();
      assertEquals(code, 0, `${words}\n${decoder.decode(stdout)}${decoder.decode(stderr)}`);
      return decoder.decode(stdout);
    };
    await t.step("over standard input and output", async () => {
      await shell(begin);
      await Deno.writeTextFile(`${folder}/first.mts`, first);
      const said = await shell(run);
      assertMatch(said, /^list_vms screenshot wait .*\n/);
      const numbers = (text: string) => text.replaceAll(/\d+/g, "N");
      for (const line of printed.trim().split("\n")) assertStringIncludes(numbers(said), numbers(line));
      assertMatch(await Deno.readTextFile(`${folder}/first.html`), /<!doctype html>/);
    });
    await t.step("over HTTP", async () => {
      const lines = serve.trim().split("\n");
      const command = lines.pop() ?? "";
      assert(command.startsWith("vmsig mcp --listen 127.0.0.1:8471 "), command);
      await shell(lines.join("\n"));
      const tokens = `${folder}/tokens`;
      await using server = await McpServerProcess.start([
        ...["--socket", scratch.socket, "--listen", "127.0.0.1:0", "--tokens", tokens],
      ]);
      await Deno.writeTextFile(
        `${folder}/second.mts`,
        second.replace("http://127.0.0.1:8471/mcp", server.url),
      );
      const said = await shell("deno run -A second.mts");
      // Power, programs and files are not granted: they are not there.
      assertMatch(said, /^list_vms screenshot wait .*\nimage text\n$/);
      for (const lacking of ["power", "exec", "console_read"]) assert(!said.includes(lacking), said);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
