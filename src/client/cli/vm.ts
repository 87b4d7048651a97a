/**
 * `vmsig vm`: one operation on a VM.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { MAX_SNAPSHOT_NAME } from "../../event/kinds/vm_kinds.ts";
import type { Client } from "../client.ts";
import type { CommandOptions } from "../command_options.ts";
import type { VmOperation } from "../vm_control.ts";
import { suggestion } from "../../base/closest_name.ts";
import type { Call, CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { visible } from "./table.ts";
import { changeSnapshot, listSnapshots, type SnapshotVerb } from "./vm_snapshot.ts";

const SNAPSHOT_VERBS: readonly string[] = ["save", "load", "delete"];
const OPERATIONS = [
  "query",
  "stop",
  "cont",
  "reset",
  "powerdown",
  "suspend",
  "wakeup",
  "quit",
  "snapshots",
  ...SNAPSHOT_VERBS,
];
const UNDER_LEASE: ReadonlySet<string> = new Set(["reset", "powerdown", "quit"]);
const DONE: Readonly<Record<VmOperation, string>> = {
  stop: "stopped",
  cont: "continued",
  reset: "reset",
  powerdown: "asked to power down",
  wakeup: "woken up",
  quit: "ended",
};

/** The same of a VM whose migration has not come in yet. */
const AFTER_MIGRATION: Readonly<Partial<Record<VmOperation, string>>> = {
  stop: "will be paused when its migration has come in",
  cont: "will run when its migration has come in",
};

/** The command. */
export const vm: CommandModule = {
  args: { min: 2, max: 3 },
  options: {
    timeout: {
      takes: "number",
      value: "MS",
      min: 1,
      max: 86_400_000,
      help: "how long to wait for the VM's confirmation (30000; 1800000 for a snapshot)",
    },
  },
  details:
    `query shows the VM's state and the reason for it. stop and cont pause and continue it, wakeup wakes it from suspend.
If the VM is still migrating to this host, stop and cont take effect when the migration has completed.
reset, powerdown and quit acquire the power lease for the command, and fail with "busy" if another control owns it.
powerdown is a request to the guest: the command is done when the request was sent, not when the guest is off. Only
the guest can suspend itself; suspend explains how to have it do so.

save stores the whole VM (RAM, devices and disks) under a name; load restores that state, and everything since is
lost; delete removes a snapshot; snapshots lists them. All disks that the VM writes to must be qcow2. save, load and
delete also acquire the power lease. The VM is paused meanwhile, and held keys are released first. Only one of these
can run at a time; a second one fails with "busy". Ctrl-C stops waiting but does not cancel the job.`,
  examples: [
    "vm web query",
    "vm web stop",
    "vm 3 reset --timeout 10000",
    "vm web save before-upgrade",
    "vm web snapshots",
  ],
  async run(call) {
    const [ref = "", operation = "", name] = call.args;
    if (!OPERATIONS.includes(operation)) {
      throw usage("vm", `there is no operation ${visible(operation)}${suggestion(operation, OPERATIONS)}`);
    }
    const isOfSnapshot = SNAPSHOT_VERBS.includes(operation);
    if (isOfSnapshot !== (name !== undefined)) {
      throw usage(
        "vm",
        isOfSnapshot ? `${operation} needs a snapshot's name` : `one argument too many: ${name}`,
      );
    }
    const nameBytes = new TextEncoder().encode(name ?? "-").length;
    if (nameBytes === 0 || nameBytes > MAX_SNAPSHOT_NAME) {
      throw usage("vm", `a snapshot's name has 1 to ${MAX_SNAPSHOT_NAME} bytes`);
    }
    const options = { ...timeoutOf(call.number("timeout")), signal: call.signal };
    await using client = await call.connect({ sources: ["CORE"], prioMin: 1 });
    if (operation === "query") await query(call, client, ref);
    else if (operation === "suspend") await suspend(call, client, ref);
    else if (operation === "snapshots") await listSnapshots(call, client, ref, options);
    else if (name !== undefined) {
      await changeSnapshot(call, client, { ref, verb: operation as SnapshotVerb, name }, options);
    } else await operate(call, client, ref, operation as VmOperation);
  },
};

async function query({ number, json, out, signal }: Call, client: Client, ref: string): Promise<void> {
  const told = await client.vmState(ref, { ...timeoutOf(number("timeout")), signal });
  const { state, detail, migration } = told;
  if (json) return out.json({ endpoint: await client.endpoint(ref), ...told });
  const why = [detail === "none" ? "" : detail, migration ?? ""].filter((word) => word !== "").join(", ");
  out.line(why === "" ? state : `${state} (${why})`);
}

/**
 * QEMU up to version 11 has no QMP command that suspends its guest: suspending is the guest's own action
 * (ACPI S3, of which QEMU is told when it is done), and the machine has no sleep button that could be
 * pressed. This is known without asking, but a VM that is suspended already, or is not there, is reported as
 * such.
 *
 * @throws {Fault} `not-supported` with an alternative
 */
async function suspend(call: Call, client: Client, ref: string): Promise<void> {
  const { state } = await client.vmState(ref, { ...timeoutOf(call.number("timeout")), signal: call.signal });
  const endpoint = await client.endpoint(ref);
  const name = client.roster.nameOf(endpoint);
  if (state === "suspended") {
    if (call.json) call.out.json({ endpoint, operation: "suspend", ok: true, state });
    else call.out.line(`${visible(name)}: suspended already`);
    return;
  }
  throw new Fault(
    "not-supported",
    `Cannot suspend ${name}: QEMU has no command for it, only the guest can suspend itself; run "vmsig agent ${name} ` +
      `suspend" (by its guest agent) or "systemctl suspend" in it, or pause it with "vmsig vm ${name} stop"`,
  );
}

async function operate(call: Call, client: Client, ref: string, operation: VmOperation): Promise<void> {
  const options = { ...timeoutOf(call.number("timeout")), signal: call.signal };
  await using _lease = UNDER_LEASE.has(operation) ? await client.acquire(ref, "power", options) : undefined;
  const answer = await client.vm(ref, operation, options);
  const name = client.roster.nameOf(answer.endpoint);
  const ack = answer.as("ACT_ACK");
  if (ack === undefined) throw new Fault("protocol-error", `Cannot ${operation} ${name}: no ACT_ACK came`);
  const afterwards = AFTER_MIGRATION[operation];
  const waits = afterwards !== undefined && await isIncoming(client, ref, options);
  if (call.json) {
    call.out.json({
      endpoint: answer.endpoint,
      operation,
      ok: true,
      code: ack.code,
      detail: ack.detail,
      doneNs: ack.doneNs,
      ...(waits ? { waitsFor: "migration" } : {}),
    });
  } else call.out.line(`${visible(name)}: ${waits ? afterwards : DONE[operation]}`);
}

/**
 * Whether the VM is still migrating to this host: QEMU confirms stop and cont at once then, and carries them
 * out when the migration has completed. The operation is done, so a question that fails is no failure of it.
 */
async function isIncoming(client: Client, ref: string, options: CommandOptions): Promise<boolean> {
  try {
    return (await client.vmState(ref, options)).migration === "incoming";
  } catch (error) {
    if (error instanceof Fault) return false;
    throw error;
  }
}

function timeoutOf(timeoutMs: number | undefined): { timeoutMs?: number } {
  return timeoutMs === undefined ? {} : { timeoutMs };
}
