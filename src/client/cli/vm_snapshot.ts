/**
 * `vmsig vm ENDPOINT save|load|delete NAME` and `snapshots`.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { localTime } from "../../base/local_time.ts";
import type { Client } from "../client.ts";
import type { CommandOptions } from "../command_options.ts";
import type { VmSnapshot } from "../vm_control.ts";
import type { Call } from "./command.ts";
import { note } from "./note.ts";
import { ProgressLine } from "./progress_line.ts";
import { printTable, visible } from "./table.ts";

/** Operations on one snapshot. */
export type SnapshotVerb = "save" | "load" | "delete";

const DOING: Readonly<Record<SnapshotVerb, string>> = { save: "saving", load: "loading", delete: "deleting" };
const DONE: Readonly<Record<SnapshotVerb, string>> = { save: "saved", load: "loaded", delete: "deleted" };
const SHOWN_MS = 250;

/** Prints the snapshots of a VM. */
export async function listSnapshots(
  call: Call,
  client: Client,
  ref: string,
  options: CommandOptions,
): Promise<void> {
  const { out, json } = call;
  const { snapshots, left, disks, why, job } = await client.vm(ref).snapshots(options);
  if (json) {
    out.json({ endpoint: await client.endpoint(ref), snapshots, left, disks, why, job });
    return;
  }
  if (snapshots.length > 0) {
    printTable(out, ["NAME", "SAVED", "VM CLOCK", "SIZE", "NOTE"], snapshots.map(rowOf));
  } else out.line("no snapshots");
  if (left > 0) note(call, `${left} older ones are not shown`);
  if (why !== "") note(call, `none can be saved: ${visible(why)}`);
  if (job !== null) note(call, `under way: ${visible(job.operation)} ${visible(job.name)}`);
}

/** An operation on one snapshot. */
export interface SnapshotChange {
  /** The VM's name or number. */
  readonly ref: string;
  /** The operation. */
  readonly verb: SnapshotVerb;
  /** The snapshot's name. */
  readonly name: string;
}

/** Saves, loads or deletes a snapshot, and shows the elapsed time. */
export async function changeSnapshot(
  call: Call,
  client: Client,
  { ref, verb, name }: SnapshotChange,
  options: CommandOptions,
): Promise<void> {
  await using _lease = await client.acquire(ref, "power", { signal: call.signal });
  const vm = client.vm(ref);
  const endpoint = await client.endpoint(ref);
  const shown = visible(client.roster.nameOf(endpoint));
  const startMs = performance.now();
  const seconds = () => ((performance.now() - startMs) / 1000).toFixed(1);
  using progress = new ProgressLine(call);
  const timer = setInterval(() => {
    progress.show(() => `${shown}: ${DOING[verb]} ${visible(name)}, ${seconds()} s`);
  }, SHOWN_MS);
  try {
    await vm[verb](name, options);
  } catch (error) {
    if (error instanceof Fault && (error.code === "interrupted" || error.code === "timed-out")) {
      note(
        call,
        `QEMU goes on with it; "vmsig vm ${shown} snapshots" and the daemon's log tell what comes of it`,
      );
    }
    throw error;
  } finally {
    clearInterval(timer);
  }
  const tookMs = Math.round(performance.now() - startMs);
  if (call.json) call.out.json({ endpoint, operation: verb, name, ok: true, tookMs });
  else call.out.line(`${shown}: ${DONE[verb]} ${visible(name)} in ${seconds()} s`);
}

function rowOf({ name, savedMs, clockMs, stateBytes, missing }: VmSnapshot): string[] {
  const remark = stateBytes === 0
    ? "disks only, cannot be loaded here"
    : missing.length > 0
    ? `cannot be loaded: not on ${missing.join(" ")}`
    : "";
  return [
    name,
    localTime(new Date(savedMs)),
    clockOf(clockMs),
    `${(stateBytes / 2 ** 20).toFixed(1)} MiB`,
    remark,
  ];
}

/** 3:07:09 for three hours and seven minutes. */
function clockOf(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (value: number) => `${value}`.padStart(2, "0");
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
