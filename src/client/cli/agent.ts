/**
 * `vmsig agent`: what a guest's agent reports, and what it can do besides running programs and copying files.
 * @module
 */
import { suggestion } from "../../base/closest_name.ts";
import { AgentControl } from "../agent_control.ts";
import type { CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { visible } from "./table.ts";

const TELLS = ["ping", "info", "os", "network", "users", "filesystems"];
const DOES = ["shutdown", "reboot", "halt", "suspend"];

/** The command. */
export const agent: CommandModule = {
  args: { min: 2, max: 2 },
  details:
    `Queries the QEMU guest agent in the guest, or has it change the guest's state; "vmsig exec" runs programs through
it, "vmsig cp" copies files. ping exits with 0 if the agent answers. info, os, network, users and filesystems print
its answer as JSON. shutdown, reboot, halt and suspend need the agent lease, which is acquired for the command; they
are done when the agent has accepted the request, not when the guest is down.

The guest needs the package qemu-guest-agent, and the VM a channel to it. QEMU's options for one:
  -device virtio-serial-pci -chardev socket,id=ga,path=PATH,server=on,wait=off
  -device virtserialport,chardev=ga,name=org.qemu.guest_agent.0
For a libvirt domain, within its <devices>:
  <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`,
  examples: ["agent web ping", "agent web network", "agent web os --json", "agent web shutdown"],
  async run({ args, connect, json, out, signal }) {
    const [ref = "", verb = ""] = args;
    if (!TELLS.includes(verb) && !DOES.includes(verb)) {
      throw usage("agent", `there is no action ${visible(verb)}${suggestion(verb, [...TELLS, ...DOES])}`);
    }
    await using client = await connect({ sources: ["CORE"], prioMin: 1 });
    await using control = await AgentControl.of(client, ref);
    if (verb === "ping" || DOES.includes(verb)) {
      await act(control, verb, signal);
      const { endpoint } = control;
      if (json) out.json({ endpoint, operation: verb, ok: true });
      else {out.line(
          `${visible(client.roster.nameOf(endpoint))}: ${
            verb === "ping" ? "its agent answers" : `asked for ${verb}`
          }`,
        );}
      return;
    }
    const told = await tell(control, verb, signal);
    if (json) out.json(told);
    // JSON escapes control characters that a terminal would obey, except those above 0x7e.
    else out.line(visible(JSON.stringify(told, null, 2)).replaceAll("\\x0a", "\n"));
  },
};

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
    case "users":
      return await control.users(options);
    default:
      return await control.fileSystems(options);
  }
}
