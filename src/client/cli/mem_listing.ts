/**
 * The lists of `vmsig mem`: the guest's processes, mappings, modules, and what is known about its system.
 * Names come from the guest and need not be text; they are shown in one reversible form, to a person and
 * under --json (table.ts).
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { hexOfGva } from "../../base/ids.ts";
import type { GuestOs } from "../../guest/guest_os.ts";
import type { Listing, Process } from "../../guest/process.ts";
import type { Output } from "./output.ts";
import { type Cell, printTable, visible } from "./table.ts";

/** What is shown about a guest besides its system. */
export interface ContextFacts {
  /** The context's epoch; null without a daemon. */
  readonly epoch: number | null;
  /** Size of RAM, bytes. */
  readonly ramBytes: number;
  /** Size of RAM below the 4 GiB hole, bytes. */
  readonly lowBytes: number;
}

/** `info`. */
export function printInfo(out: Output, json: boolean, os: GuestOs, facts: ContextFacts): void {
  const info = {
    os: os.kind,
    version: os.version,
    root: hexOfGva(os.kernel.root),
    levels: os.levels,
    kpti: os.isolated,
    epoch: facts.epoch,
    ramBytes: facts.ramBytes,
    low: facts.lowBytes,
    kernelBase: hexOfGva(os.kernelBase),
  };
  if (json) return out.json(info);
  const rows: [string, string][] = [
    ["system", `${info.os} ${visible(info.version)}`],
    ["kernel", `at ${info.kernelBase}, root ${info.root}, ${info.levels} levels`],
    ["isolation", info.kpti ? "on: processes have a root apart from the kernel's" : "off"],
    ["memory", `${mib(info.ramBytes)}, ${mib(info.low)} of it below 4 GiB`],
  ];
  if (info.epoch !== null) rows.push(["epoch", `${info.epoch}`]);
  for (const [name, text] of rows) out.line(`${out.paint("dim", name.padEnd(10))} ${text}`);
}

/** `ps`. */
export function printProcesses(out: Output, json: boolean, os: GuestOs): void {
  const listing = os.processes();
  const rows: Cell[][] = [];
  for (const { pid, ppid, name, root, kernelThread } of listing.items) {
    if (json) out.json({ pid, ppid, name: visible(name), root: hexOfGva(root), kernelThread });
    else {
      rows.push([
        `${pid}`,
        `${ppid}`,
        root === 0 ? "-" : hexOfGva(root),
        kernelThread ? { text: `[${name}]`, tone: "dim" } : name,
      ]);
    }
  }
  if (!json) printTable(out, ["PID", "PPID", "ROOT", "NAME"], rows);
  checkWhole(listing, "processes");
}

/** `maps`. */
export function printMaps(out: Output, json: boolean, os: GuestOs, process: Process): void {
  const listing = os.maps(process);
  for (const { start, end, perms, fileOffset, name } of listing.items) {
    const [from, to] = [hexOfGva(start), hexOfGva(end)];
    if (json) {
      out.json({ start: from, end: to, perms, fileOffset: hexOfGva(fileOffset), name: visible(name) });
    } else {out.line(
        `${bare(from)}-${bare(to)} ${perms} ${bare(hexOfGva(fileOffset))} ${visible(name)}`.trimEnd(),
      );}
  }
  checkWhole(listing, `mappings of process ${process.pid}`);
}

/** `modules`. */
export function printModules(out: Output, json: boolean, os: GuestOs): void {
  const listing = os.modules();
  const rows: Cell[][] = [];
  for (const { base, sizeBytes, name } of listing.items) {
    if (json) out.json({ base: hexOfGva(base), size: sizeBytes, name: visible(name) });
    else rows.push([hexOfGva(base), `${sizeBytes}`, name]);
  }
  if (!json) printTable(out, ["BASE", "SIZE", "NAME"], rows);
  checkWhole(listing, "modules");
}

/** What was found is printed, but an incomplete list is still an error. */
export function checkWhole(listing: Listing<unknown>, what: string): void {
  const { end, items } = listing;
  if (end.complete) return;
  throw new Fault(
    "refused",
    `Cannot list all ${what}: after ${items.length} the list ends in a ${end.reason} at ${
      hexOfGva(end.at)
    }; ` +
      "the guest changed it meanwhile, or it is damaged: try again",
  );
}

function mib(bytes: number): string {
  return `${bytes / 2 ** 20} MiB`;
}

/** An address in the format of /proc/PID/maps. */
function bare(hex: string): string {
  return hex.slice(2).padStart(8, "0");
}
