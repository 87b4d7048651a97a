/**
 * `vmsig vm`: one operation on a VM.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import type { Client, VmOperation } from "../client.ts";
import { suggestion } from "../../base/closest_name.ts";
import type { Call, CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { visible } from "./table.ts";

const OPERATIONS = ["query", "stop", "cont", "reset", "powerdown", "suspend", "wakeup", "quit"];
const UNDER_LEASE: ReadonlySet<string> = new Set(["reset", "powerdown", "quit"]);
const DONE: Readonly<Record<VmOperation, string>> = {
  stop: "stopped",
  cont: "continued",
  reset: "reset",
  powerdown: "asked to power down",
  wakeup: "woken up",
  quit: "ended",
};

/** The command. */
export const vm: CommandModule = {
  args: { min: 2, max: 2 },
  options: {
    timeout: {
      takes: "number",
      value: "MS",
      min: 1,
      max: 600_000,
      help: "how long to await the VM's word (5000)",
    },
  },
  details:
    `query tells the VM's state and why it is in it. stop and cont pause and continue it, wakeup wakes it from suspend.
reset, powerdown and quit take the power lease for themselves, and fail with "busy" when another control owns it.
powerdown is a request to the guest: it is confirmed when the guest was asked, not when it is off. suspend says why it
cannot be done from outside, and what does it: only the guest can suspend itself.`,
  examples: ["vm web query", "vm web stop", "vm 3 reset --timeout 10000"],
  async run(call) {
    const [ref = "", operation = ""] = call.args;
    if (!OPERATIONS.includes(operation)) {
      throw usage("vm", `there is no operation ${visible(operation)}${suggestion(operation, OPERATIONS)}`);
    }
    await using client = await call.connect({ sources: ["CORE"], prioMin: 1 });
    if (operation === "query") await query(call, client, ref);
    else if (operation === "suspend") await suspend(call, client, ref);
    else await operate(call, client, ref, operation as VmOperation);
  },
};

async function query({ number, json, out, signal }: Call, client: Client, ref: string): Promise<void> {
  const { state, detail } = await client.vmState(ref, { ...timeoutOf(number("timeout")), signal });
  if (json) out.json({ endpoint: await client.endpoint(ref), state, detail });
  else out.line(detail === "none" ? state : `${state} (${detail})`);
}

/**
 * No QEMU up to 11 has a QMP command that suspends its guest: suspending is the guest's own act (ACPI S3, of
 * which QEMU hears when it is done), and the machine has no sleep button that could be pressed. It is known
 * without asking, but a VM that is suspended already, or is not there, is told as that.
 *
 * @throws {Fault} `not-supported` with what would do it
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
    `Cannot suspend ${name}: QEMU has no command for it, only the guest can suspend itself; run "systemctl suspend" ` +
      `in it (or guest-suspend-ram of its QEMU guest agent), or pause it from here with "vmsig vm ${name} stop"`,
  );
}

async function operate(call: Call, client: Client, ref: string, operation: VmOperation): Promise<void> {
  const options = { ...timeoutOf(call.number("timeout")), signal: call.signal };
  await using _lease = UNDER_LEASE.has(operation) ? await client.acquire(ref, "power", options) : undefined;
  const answer = await client.vm(ref, operation, options);
  const name = client.roster.nameOf(answer.endpoint);
  const ack = answer.as("ACT_ACK");
  if (ack === undefined) throw new Fault("protocol-error", `Cannot ${operation} ${name}: no ACT_ACK came`);
  if (call.json) {
    call.out.json({
      endpoint: answer.endpoint,
      operation,
      ok: true,
      code: ack.code,
      detail: ack.detail,
      doneNs: ack.doneNs,
    });
  } else call.out.line(`${visible(name)}: ${DONE[operation]}`);
}

function timeoutOf(timeoutMs: number | undefined): { timeoutMs?: number } {
  return timeoutMs === undefined ? {} : { timeoutMs };
}
