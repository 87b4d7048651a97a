/**
 * `vmsig agent`: what a guest's agent reports, and what it can do besides running programs and copying files.
 * @module
 */
import { aborted } from "../../base/aborted.ts";
import { suggestion } from "../../base/closest_name.ts";
import { Fault } from "../../base/fault.ts";
import { AgentControl } from "../agent_control.ts";
import type { Call, CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { runUnder } from "./run_under.ts";
import { visible } from "./table.ts";

const TELLS = ["ping", "info", "os", "network", "users", "filesystems", "freeze-status"];
const DOES = ["shutdown", "reboot", "halt", "suspend"];
const FREEZES = ["freeze", "thaw"];
const VERBS: readonly string[] = [...TELLS, ...DOES, ...FREEZES];

/** The command. */
export const agent: CommandModule = {
  args: { min: 2, max: 2 },
  takesCommand: true,
  details:
    `Queries the QEMU guest agent in the guest, or has it change the guest's state; "vmsig exec" runs programs through
it, "vmsig cp" copies files. ping exits with 0 if the agent answers. info, os, network, users and filesystems print
its answer as JSON. shutdown, reboot, halt and suspend need the agent lease, which is acquired for the command; they
are done when the agent has accepted the request, not when the guest is down.

freeze makes the guest's file systems consistent on disk and stops all writes to them, as for a snapshot of its
disks. It keeps them frozen while COMMAND runs on this host, and then exits with COMMAND's exit code; without one,
until Ctrl-C. They are thawed when this command ends, even if it is killed; only when the daemon is killed do they
stay frozen. Until then the agent refuses most other requests. freeze-status prints "thawed" or "frozen"; thaw thaws
the file systems, whoever froze them.

The guest needs the package qemu-guest-agent, and the VM a channel to it. QEMU's options for one:
  -device virtio-serial-pci -chardev socket,id=ga,path=PATH,server=on,wait=off
  -device virtserialport,chardev=ga,name=org.qemu.guest_agent.0
For a libvirt domain, within its <devices>:
  <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`,
  examples: [
    "agent web ping",
    "agent web network",
    "agent web os --json",
    "agent web shutdown",
    "agent web freeze -- ./copy-disks",
  ],
  async run(call) {
    const { args, connect, json, out, rest, signal } = call;
    const [ref = "", verb = ""] = args;
    if (!VERBS.includes(verb)) {
      throw usage("agent", `there is no action ${visible(verb)}${suggestion(verb, VERBS)}`);
    }
    if (rest !== undefined && verb !== "freeze") throw usage("agent", `${verb} takes no command`);
    if (rest?.length === 0 || rest?.[0] === "") throw usage("agent", "behind -- a command is missing");
    await using client = await connect({ sources: ["CORE"], prioMin: 1 });
    await using control = await AgentControl.of(client, ref);
    const name = client.roster.nameOf(control.endpoint);
    if (verb === "freeze") return await freeze(call, control, name);
    if (verb === "thaw") return thawed(call, control, name, await control.thaw({ signal }));
    if (verb === "ping" || DOES.includes(verb)) {
      await act(control, verb, signal);
      if (json) out.json({ endpoint: control.endpoint, operation: verb, ok: true });
      else out.line(`${visible(name)}: ${verb === "ping" ? "its agent answers" : `asked for ${verb}`}`);
      return;
    }
    const told = await tell(control, verb, signal);
    if (json) out.json(told);
    else if (typeof told === "string") out.line(visible(told));
    // JSON escapes control characters that a terminal would obey, except those above 0x7e.
    else out.line(visible(JSON.stringify(told, null, 2)).replaceAll("\\x0a", "\n"));
  },
};

/** Keeps the file systems frozen while the command behind `--` runs, or until Ctrl-C. */
async function freeze(call: Call, control: AgentControl, name: string): Promise<number> {
  const { json, out, rest, signal } = call;
  const mine = await control.lease({ signal });
  const lost = mine.lost.then((reason) => {
    const what = `Cannot keep the file systems of ${name} frozen`;
    throw reason === "disconnected"
      ? new Fault(
        "unreachable",
        `${what}: the daemon closed the connection; when it runs, "vmsig agent ${name} freeze-status" tells what they are`,
      )
      : new Fault("stale-lease", `${what}: the agent lease was lost (${reason}), and they are thawed`);
  });
  // It may be lost before anything waits for it.
  lost.catch(() => {});
  const frozen = await control.freeze({ signal });
  if (json) out.json({ endpoint: control.endpoint, operation: "freeze", ok: true, fileSystems: frozen });
  else if (rest === undefined) {
    out.line(`${visible(name)}: ${counted(frozen)} frozen; Ctrl-C thaws`);
  }
  let code = 0;
  if (rest === undefined) await Promise.race([lost, aborted(signal)]);
  else code = await runUnder(call, mine, lost, () => {});
  const count = await control.thaw();
  if (rest === undefined || json) thawed(call, control, name, count);
  return code;
}

function thawed({ json, out }: Call, { endpoint }: AgentControl, name: string, count: number): void {
  if (json) out.json({ endpoint, operation: "thaw", ok: true, fileSystems: count });
  else out.line(`${visible(name)}: ${counted(count)} thawed`);
}

function counted(count: number): string {
  return count === 1 ? "1 file system" : `${count} file systems`;
}

async function act(control: AgentControl, verb: string, signal: AbortSignal): Promise<void> {
  const options = { signal };
  switch (verb) {
    case "ping":
      return await control.ping(options);
    case "suspend":
      return await control.suspend(options);
    case "reboot":
    case "halt":
      return await control.shutdown(verb, options);
    default:
      return await control.shutdown("powerdown", options);
  }
}

async function tell(control: AgentControl, verb: string, signal: AbortSignal): Promise<unknown> {
  const options = { signal };
  switch (verb) {
    case "info":
      return await control.info(options);
    case "os":
      return await control.os(options);
    case "network":
      return await control.network(options);
    case "freeze-status":
      return await control.freezeStatus(options);
    case "users":
      return await control.users(options);
    default:
      return await control.fileSystems(options);
  }
}
