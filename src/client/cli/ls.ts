/**
 * `vmsig ls`: the roster.
 * @module
 */
import type { CommandModule } from "./command.ts";
import { type Cell, printTable } from "./table.ts";
import type { Tone } from "./output.ts";

const TONES: Readonly<Record<string, Tone>> = { up: "good", attaching: "warn", down: "bad" };

/** The command. */
export const ls: CommandModule = {
  args: { min: 0, max: 0 },
  details:
    `Lists every endpoint that your grant shows: its number, name, state (attaching, up, down), the seams that
are up (vmhost: power and state, input: keyboard and mouse, memctx: memory), the VM's process and its vmid.`,
  examples: ["ls", "ls --json"],
  async run({ connect, json, out }) {
    await using client = await connect({ sources: ["CORE"], prioMin: 1 });
    const roster = await client.completeRoster();
    if (json) {
      for (const entry of roster) out.json(entry);
      return;
    }
    if (roster.length === 0) {
      out.line("no endpoints; vmsig probe tells what could be attached");
      return;
    }
    const rows = roster.map((entry): Cell[] => [
      String(entry.endpoint),
      entry.name,
      { text: entry.state, tone: TONES[entry.state] ?? "plain" },
      entry.seams.join(",") || "-",
      entry.pid === 0 ? "-" : String(entry.pid),
      entry.vmid === 0 ? "-" : String(entry.vmid),
    ]);
    printTable(out, ["#", "NAME", "STATE", "SEAMS", "PID", "VMID"], rows);
  },
};
