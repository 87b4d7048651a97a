/**
 * Tools of a VM's power and of its snapshots. `--no-power` leaves them out.
 * @module
 */
import { z } from "zod";
import { printable } from "../base/printable.ts";
import { DEFAULT_TIMEOUT_MS } from "../client/command_options.ts";
import { takeLease } from "../testing/machine_lease.ts";
import { json, text, type Tool, tool, type ToolCall, VM } from "./tool.ts";

/** Operations that need the power lease. */
const UNDER_LEASE: ReadonlySet<string> = new Set(["reset", "powerdown", "quit"]);
/** A snapshot of much memory takes its time, ms. */
const SNAPSHOT_MS = 1_800_000;

const SNAPSHOT = z.string().min(1).max(128).describe("The snapshot's name");

/** `vm_state`. */
export const vmState: Tool = tool({
  name: "vm_state",
  description: "Tells a VM's state, asked of it now: running, paused, shutdown, crashed, …, and why.",
  needs: ["VM"],
  changes: "nothing",
  args: { vm: VM },
  run: async ({ vm }, { seat, signal }) =>
    json(await seat.client.vmState(await seat.endpoint(vm), { signal })),
});

/** `power`. */
export const power: Tool = tool({
  name: "power",
  description:
    "Does something to a VM's power: stop pauses it, cont goes on, wakeup ends a suspend; reset is the " +
    "reset button, powerdown asks its system to shut down, quit ends the VM at once. What is not saved in the " +
    "guest is lost by reset and quit.",
  needs: ["VM", "POWER"],
  changes: "power",
  args: { vm: VM, operation: z.enum(["stop", "cont", "wakeup", "reset", "powerdown", "quit"]) },
  run: async ({ vm, operation }, { seat, signal }) => {
    const endpoint = await seat.endpoint(vm);
    await using _lease = UNDER_LEASE.has(operation)
      ? await takeLease(seat.client, endpoint, "power", { timeoutMs: DEFAULT_TIMEOUT_MS, waits: false })
      : undefined;
    await seat.client.vm(endpoint, operation, { signal });
    return text(`${operation} done. Use wait with state, or vm_state, to see what came of it.`);
  },
});

/** `snapshot_list`. */
const snapshotList: Tool = tool({
  name: "snapshot_list",
  description: "Lists a VM's snapshots, and says whether one can be saved.",
  needs: ["VM"],
  changes: "nothing",
  args: { vm: VM },
  run: async ({ vm }, { seat, signal }) => {
    const { snapshots, left, why, job } = await seat.client.vm(await seat.endpoint(vm)).snapshots({ signal });
    return json({
      snapshots: snapshots.map(({ name, savedMs, missing }) => ({
        name: printable(name),
        saved: new Date(savedMs).toISOString(),
        can_be_loaded: missing.length === 0,
      })),
      older_not_shown: left,
      cannot_save_because: printable(why),
      under_way: job === null ? null : `${job.operation} ${printable(job.name)}`,
    });
  },
});

const verbs = ([
  ["snapshot_save", "save", "Keeps the whole VM, its memory and its disks, under a name.", "saved"],
  [
    "snapshot_load",
    "load",
    "Brings a VM back to a snapshot; what it did since is lost. Take a screenshot afterwards.",
    "loaded",
  ],
  ["snapshot_delete", "delete", "Forgets a snapshot of a VM.", "deleted"],
] as const).map(([name, verb, description, done]) =>
  tool({
    name,
    description: `${description} All of its writable disks must be qcow2; takes the power lease.`,
    needs: ["POWER"],
    changes: "power",
    args: { vm: VM, name: SNAPSHOT },
    run: async ({ vm, name: snapshot }, { seat, signal }: ToolCall) => {
      const endpoint = await seat.endpoint(vm);
      await using _lease = await takeLease(seat.client, endpoint, "power", {
        timeoutMs: DEFAULT_TIMEOUT_MS,
        waits: false,
      });
      await seat.client.vm(endpoint)[verb](snapshot, { signal, timeoutMs: SNAPSHOT_MS });
      return text(`${done} ${printable(snapshot)}`);
    },
  })
);

/** All of them. */
export const POWER_TOOLS: readonly Tool[] = [vmState, power, snapshotList, ...verbs];
