/**
 * `vmsig mcp`: VMs for a model, by the Model Context Protocol.
 * @module
 */
import { usage } from "./command_line.ts";
import type { CommandModule } from "./command.ts";
import { note } from "./note.ts";

/** The command. */
export const mcp: CommandModule = {
  args: { min: 0, max: 0 },
  options: {
    endpoint: { takes: "texts", value: "NAME", help: "only this VM; may be given again and again" },
    "read-only": { takes: "nothing", help: "only tools that change nothing: no keyboard, no programs" },
    "no-power": { takes: "nothing", help: "no tools that reset, stop or bring back a VM" },
  },
  details:
    `Serves MCP on standard input and output: an MCP client (an agent, an editor) starts it. Its tools are list_vms,
screenshot, wait, click, double_click, right_click, middle_click, move, drag, scroll, key, hold_key, type, lease_take
and lease_give_back; what the daemon's grant lacks is not offered. Coordinates are those of the screenshot, which is
made smaller where it is large.

Keyboard and mouse are taken with the first input, and given back after a minute without, or when the client goes: what
it held down is released. When a person takes them, the model is told, and does not take them again unless it asks.`,
  examples: ["mcp", "mcp --read-only", "mcp --endpoint web --no-power"],
  async run(call) {
    const endpoints = call.steps.filter(({ option }) => option === "endpoint").map(({ text }) => text);
    if (endpoints.some((name) => name === "")) throw usage("mcp", "--endpoint takes a VM's name");
    const { serveOnStdio } = await import("../../mcp/stdio.ts");
    await serveOnStdio({
      join: (sub, reconnect) => call.connect(sub, reconnect),
      limits: { readOnly: call.flag("read-only"), noPower: call.flag("no-power"), endpoints },
      signal: call.signal,
      tell: (line) => note(call, line),
    });
  },
};
