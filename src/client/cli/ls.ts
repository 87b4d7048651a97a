/**
 * `vmsig ls`: the roster.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { CAP } from "../../event/capability.ts";
import { KIND } from "../../event/kind.ts";
import { SOURCE } from "../../event/source.ts";
import type { Client } from "../client.ts";
import { natsModule } from "../nats_loader.ts";
import type { RosterEntry } from "../roster_view.ts";
import type { CommandModule } from "./command.ts";
import { type Cell, printTable } from "./table.ts";
import type { Tone } from "./output.ts";

const TONES: Readonly<Record<string, Tone>> = { up: "good", attaching: "warn", down: "bad" };

/** The command. */
export const ls: CommandModule = {
  args: { min: 0, max: 0 },
  options: {
    wide: { takes: "nothing", help: "with --nats: also show leases, process, host and its version" },
  },
  details:
    `Lists every endpoint that your grant includes: its number, name, state (attaching, up, down), the seams that are up
(vmhost: power and state, input: keyboard and mouse, memctx: memory, frame: screen and its source), the VM's process
and its vmid. If no operating system was found in a VM's memory, its memctx seam says so: "no system yet" while the
daemon looks for one, "no known system" if it cannot read the one that runs there.

With --nats, lists the VMs of all hosts that joined the server, as HOST/NAME, with what their hosts report.`,
  examples: ["ls", "ls --json", "ls --nats nats://10.0.0.5:4222 --wide"],
  async run(call) {
    const { connect, json, out } = call;
    if (call.nats !== undefined) {
      const { listHosts } = await natsModule("list")();
      return await listHosts(call as never, call.nats as never);
    }
    await using client = await connect({ sources: ["CORE", "MEMCTX", "FRAME"], prioMin: 1 });
    const roster = await client.completeRoster();
    const displays = new Map<number, string>();
    for (const entry of roster) {
      const display = await displayOf(client, entry);
      if (display !== undefined) displays.set(entry.endpoint, display);
    }
    if (json) {
      for (const entry of roster) {
        const memory = lackOf(client, entry);
        const display = displays.get(entry.endpoint);
        out.json({
          ...entry,
          ...(memory === undefined ? {} : { memory: memory.replaceAll(" ", "-") }),
          ...(display === undefined ? {} : { display }),
        });
      }
      return;
    }
    if (roster.length === 0) {
      out.line("no endpoints; vmsig probe shows which VMs could be attached");
      return;
    }
    const rows = roster.map((entry): Cell[] => [
      String(entry.endpoint),
      entry.name,
      { text: entry.state, tone: TONES[entry.state] ?? "plain" },
      seamsOf(client, entry, displays.get(entry.endpoint)),
      entry.pid === 0 ? "-" : String(entry.pid),
      entry.vmid === 0 ? "-" : String(entry.vmid),
    ]);
    printTable(out, ["#", "NAME", "STATE", "SEAMS", "PID", "VMID"], rows);
  },
};

function seamsOf(client: Client, entry: RosterEntry, display: string | undefined): Cell {
  const lack = lackOf(client, entry);
  const details: Readonly<Record<string, string | undefined>> = { memctx: lack, frame: display };
  const text = entry.seams.map((seam) => {
    const detail = details[seam];
    return detail === undefined ? seam : `${seam} (${detail})`;
  }).join(",");
  return { text: text || "-", tone: lack === undefined ? "plain" : "warn" };
}

/**
 * What shows the first head: a source's name; until a picture has been requested, the config's value and that
 * nothing is open yet. Undefined if this user may not know.
 */
async function displayOf(client: Client, { endpoint, seams }: RosterEntry): Promise<string | undefined> {
  const isSeen = (client.grant.caps & CAP.FRAME) !== 0 &&
    (client.grant.sources & (1 << SOURCE.FRAME)) !== 0;
  if (!isSeen || !seams.includes("frame") || !client.knowsKind(KIND.CMD_FRAME)) return undefined;
  try {
    const { display, heads } = await client.display(endpoint);
    return heads[0]?.source || `${display}, not opened yet`;
  } catch (error) {
    // A stub's frames have no source; a VM may be detached during the query.
    if (error instanceof Fault) return undefined;
    throw error;
  }
}

/** What a memory seam that is up still lacks; undefined if nothing, or if this user may not know. */
function lackOf(client: Client, { endpoint, seams }: RosterEntry): string | undefined {
  const isSeen = (client.grant.caps & CAP.MEMCTX) !== 0 &&
    (client.grant.sources & (1 << SOURCE.MEMCTX)) !== 0;
  if (!isSeen || !seams.includes("memctx") || client.memory.hasContext(endpoint)) return undefined;
  return client.memory.trouble(endpoint) === undefined ? "no system yet" : "no known system";
}
