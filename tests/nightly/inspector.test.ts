/**
 * The MCP inspector's command line, a program of others, drives a guest from its boot to a shell over both
 * transports. It comes by npm into a folder of its own, with the Node that it needs.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { DEMO_GUEST } from "../../scripts/demo_guest.ts";
import { scratchMachine } from "../../src/testing/mod.ts";
import { buildGuest } from "../guest/build.ts";
import { McpServerProcess, tokenFor } from "../guest/mcp_sdk.ts";

const PACKAGES = ["@modelcontextprotocol/inspector@2.12.0", "node@22.23.3"];
const MAIN = new URL("../../main.ts", import.meta.url).pathname;
/** Reached by a hang alone. */
const timeoutMs = 600_000;
const vm = "scratch";
/** The token's name is a principal of its own, for which this user may speak. */
const ADMISSION = `
[[admission]]
uid = ${Deno.uid()}
speaks_for = ["token:inspector"]
endpoints = ["*"]
caps = ["*"]
[[admission]]
token = "inspector"
endpoints = ["*"]
caps = ["*"]
`;

/** The inspector, with one server of its config. */
class Inspector {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async install(): Promise<void> {
    const words = [
      "install",
      "--loglevel=error",
      "--no-audit",
      "--no-fund",
      "--cache",
      `${this.#folder}/cache`,
    ];
    const { success, stderr } = await new Deno.Command("npm", {
      args: [...words, "--prefix", this.#folder, ...PACKAGES],
    }).output();
    assert(success, new TextDecoder().decode(stderr));
  }

  /** Runs one method; tells what it printed. */
  async run(server: object, method: string, args: readonly string[] = []): Promise<string> {
    const config = `${this.#folder}/servers.json`;
    await Deno.writeTextFile(config, JSON.stringify({ mcpServers: { vmsig: server } }), { mode: 0o600 });
    const modules = `${this.#folder}/node_modules`;
    const launcher = `${modules}/@modelcontextprotocol/inspector/clients/launcher/build/index.js`;
    const { code, stdout, stderr } = await new Deno.Command(`${modules}/.bin/node`, {
      args: [launcher, "--cli", "--config", config, "--server", "vmsig", "--method", method, ...args],
      // Without a keychain it says so at length, and goes on in memory: this says it beforehand.
      env: { HOME: this.#folder, NO_COLOR: "1", MCP_INSPECTOR_SECRET_STORE: "memory" },
    }).output();
    const decoder = new TextDecoder();
    assertEquals(code, 0, `${method} ${args.join(" ")}: ${decoder.decode(stderr)}${decoder.decode(stdout)}`);
    return decoder.decode(stdout);
  }

  /** Calls a tool. */
  async call(
    server: object,
    name: string,
    args: Readonly<Record<string, string | number>> = {},
  ): Promise<string> {
    const words = Object.entries(args).flatMap(([key, value]) => ["--tool-arg", `${key}=${value}`]);
    return await this.run(server, "tools/call", ["--tool-name", name, ...words]);
  }
}

Deno.test("the MCP inspector's command line, over both transports", async () => {
  const { kernelPath: kernel, initrdPath: initrd } = await buildGuest(DEMO_GUEST);
  const folder = await Deno.makeTempDir({ prefix: "vmsig-inspector-" });
  try {
    const inspector = new Inspector(folder);
    await inspector.install();
    await using scratch = await scratchMachine({
      kernel,
      initrd,
      append: "console=ttyS0 console=tty0 no_timer_check random.trust_cpu=on",
      memoryMiB: 256,
      accelerator: "tcg",
      timeoutMs,
      artifacts: folder,
      config: ADMISSION,
    });
    const { token, line } = await tokenFor("inspector");
    await Deno.writeTextFile(`${folder}/tokens`, line, { mode: 0o600 });
    const socket = ["--socket", scratch.socket];
    await using http = await McpServerProcess.start([
      ...socket,
      ...["--listen", "127.0.0.1:0", "--tokens", `${folder}/tokens`],
    ]);
    const command = ["run", "-q", "-A", "--no-check", MAIN, "mcp", ...socket];
    const servers = {
      stdio: { type: "stdio", command: Deno.execPath(), args: command, env: Deno.env.toObject() },
      http: { type: "streamable-http", url: http.url, headers: { authorization: `Bearer ${token}` } },
    };
    for (const [name, server] of Object.entries(servers)) {
      assertStringIncludes(await inspector.run(server, "tools/list"), "snapshot_load");
      assertStringIncludes(await inspector.run(server, "resources/list"), "vmsig://roster");
      await inspector.call(server, "wait", { vm, text: "guest#", timeout_s: 300 });
      await inspector.call(server, "type", { vm, text: `echo over ${name}\n` });
      await inspector.call(server, "wait", { vm, text: `^over ${name}$`, timeout_s: 300 });
      assertStringIncludes(await inspector.call(server, "screenshot", { vm }), `over ${name}`);
      if (name === "stdio") await inspector.call(server, "power", { vm, operation: "reset" });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
