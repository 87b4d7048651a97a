/**
 * `vmsig --nats URL ls`: the roster of all hosts, read from the roster's bucket without asking any host.
 * @module
 */
import type { HostEntry } from "../../nats/wire/host_entry.ts";
import type { NatsOptions } from "../../nats/wire/nats_link.ts";
import type { Call } from "./command.ts";
import type { Tone } from "./output.ts";
import { type Cell, printTable, visible } from "./table.ts";

const TONES: Readonly<Record<string, Tone>> = { up: "good", attaching: "warn", down: "bad" };

/** Lists them. @throws {Fault} */
export async function listHosts(call: Call, nats: NatsOptions): Promise<void> {
  const { NatsLink } = await import("../../nats/wire/nats_link.ts");
  const { RosterReader } = await import("../../nats/reader/roster_reader.ts");
  await using link = await NatsLink.open(nats, "vmsig ls");
  const ignore = (): void => {};
  await using reader = await RosterReader.open(link, { onHost: ignore, onHostGone: ignore });
  await reader.whole();
  const { hosts } = reader;
  if (call.json) return printJson(call, hosts);
  const isWide = call.flag("wide");
  const rows = hosts.flatMap((host) => rowsOf(host, isWide));
  if (rows.length === 0) return call.out.line("no hosts; vmsig join URL puts one there");
  const head = ["NAME", "STATE", "RUN", "SEAMS"];
  printTable(call.out, isWide ? [...head, "LEASES", "PID", "VMID", "VMSIG"] : head, rows);
}

function printJson({ out }: Call, hosts: readonly HostEntry[]): void {
  for (const { host, isUp, vmsig, endpoints } of hosts) {
    if (endpoints.length === 0) out.json({ host: visible(host), isUp, vmsig: visible(vmsig) });
    for (const { endpoint, life: _life, name, ...rest } of endpoints) {
      out.json({ host: visible(host), isUp, vmsig: visible(vmsig), endpoint, name: visible(name), ...rest });
    }
  }
}

function rowsOf({ host, isUp, vmsig, endpoints }: HostEntry, isWide: boolean): Cell[][] {
  const wide = (leases: string, pid: number, vmid: number): Cell[] =>
    isWide ? [leases || "-", pid === 0 ? "-" : `${pid}`, vmid === 0 ? "-" : `${vmid}`, vmsig] : [];
  if (!isUp) return [[`${host}/`, { text: "no daemon", tone: "bad" }, "-", "-", ...wide("", 0, 0)]];
  if (endpoints.length === 0) return [[`${host}/`, "no VMs", "-", "-", ...wide("", 0, 0)]];
  return endpoints.map((each) => {
    const { endpoint, name, state, run, seams, display, leases, pid, vmid } = each;
    const shown = seams.map((seam) => seam === "frame" && display !== "" ? `frame (${display})` : seam)
      .join();
    const owned = Object.entries(leases).map(([cls, owner]) => `${cls}: ${owner}`).join(", ");
    return [
      `${host}/${name === "" ? endpoint : name}`,
      { text: state, tone: TONES[state] ?? "plain" },
      run || "-",
      shown || "-",
      ...wide(owned, pid, vmid),
    ];
  });
}
