/**
 * `vmsig probe`: the VMs that run on this host, and what each lacks to be attached, with the exact QEMU
 * option to add. Needs no daemon; the users whose VMs a daemon attaches are read from its config, if that is
 * readable.
 * @module
 */
import { monotonicClock } from "../../../ffi/clock.ts";
import { Fault } from "../../base/fault.ts";
import { SILENT } from "../../base/log.ts";
import { DiscoveryUsers } from "../../daemon/discovery_users.ts";
import { DEFAULT_CONFIG_PATH, readConfig } from "../../daemon/serve_plan.ts";
import { systemUsers } from "../../daemon/system_users.ts";
import { probeForeign, probeHost } from "../../roster/host_probe.ts";
import { ProcHost } from "../../roster/proc_host.ts";
import type { CommandModule } from "./command.ts";
import {
  isReachedByHost,
  lackOf,
  type MonitorClient,
  monitorClient,
  monitorWords,
  needsListing,
} from "./probe_advice.ts";
import { screenOf } from "./probe_display.ts";
import { withNames } from "./probe_names.ts";
import { printTable, visible } from "./table.ts";

/** The command. */
export const probe: CommandModule = {
  args: { min: 0, max: 0 },
  isClient: false,
  details:
    "Reads only /proc: it connects to no monitor and does not disturb VMs. A VM can be attached if it has a QMP socket that nobody is connected to, in a folder that only its own user and root may write to; if it has a shared RAM backend, its memory can be read too. Who holds a monitor is told where this user may see it; a VM that vmsig's daemon holds is attached already. DISPLAY is its card, and by what the daemon would show its screen (display = \"auto\"); vmsig doctor tells what does. VMs of users other than root and the daemon's own are attached if [discovery] users in the config lists the user, under a name with the uid: web@1000. A domain that libvirt holds is attached by libvirt where the config has a table [libvirt]. If a VM's -name contains what an endpoint's name may not (a space, a comma, a byte that is not UTF-8, more than 31 bytes), the endpoint is called by what can be of it and a hash of it (my-vm.0a48ca), and both names are shown; with --json, name is the VM's own name, and endpoint is its name in the roster; names and paths have \\xNN for a byte that is not text and \\\\ for a backslash.",
  examples: ["probe", "probe --json"],
  async run({ json, out }) {
    const passedOver: { readonly pid: number; readonly why: string }[] = [];
    const vms = await probeHost(new ProcHost(), (pid, why) => passedOver.push({ pid, why }));
    const { users, hosts } = configured();
    const clients = new Map<number, MonitorClient>();
    for (const vm of vms) {
      const client = monitorClient(vm);
      if (client !== undefined) clients.set(vm.pid, client);
    }
    if (json) {
      for (const vm of vms) {
        const client = clients.get(vm.pid);
        const heldBy = client === undefined ? {} : { heldBy: client };
        out.json({
          ...withNames(vm),
          missing: lackOf(vm, client, hosts),
          listed: users.has(vm.uid),
          ...heldBy,
        });
      }
      return;
    }
    for (const { pid, why } of passedOver) out.line(`process ${pid} is passed over: ${visible(why)}`);
    for (const { pid, vmm } of await probeForeign(new ProcHost())) {
      out.line(`process ${pid} is a VM of ${vmm}, which is no QEMU: vmsig joins QEMU's alone`);
    }
    if (vms.length === 0) return out.line("no QEMU runs here (or none that this user may look at)");
    printTable(
      out,
      ["PID", "NAME", "QMP", "MEMORY", "INPUT", "DISPLAY", "ATTACHABLE"],
      vms.map((vm) => [
        `${vm.pid}`,
        vm.endpoint,
        monitorWords(vm, clients.get(vm.pid)),
        vm.memory,
        vm.input.join(" "),
        screenOf(vm, Deno.uid() ?? -1),
        clients.get(vm.pid)?.isDaemon === true
          ? "attached"
          : isReachedByHost(vm, hosts)
          ? "by libvirt"
          : vm.attachable && users.has(vm.uid)
          ? "yes"
          : "no",
      ]),
    );
    for (const vm of vms) {
      const name = `${vm.endpoint} (${vm.pid})`;
      if (vm.name !== vm.endpoint && !vm.endpoint.startsWith(`${vm.name}@`)) {
        // It is already in reversible form.
        out.line(`${name} calls itself "${vm.name}", which an endpoint cannot be called`);
      }
      if (vm.refusal !== "") out.line(`${name} is not attached: ${visible(vm.refusal)}`);
      const client = clients.get(vm.pid);
      if (vm.uid >= 0 && !users.has(vm.uid) && needsListing(vm, client, hosts)) {
        const wanted = [...users, vm.uid].map((uid) => `"${uid}"`).join(", ");
        out.line(
          `${name} is of uid ${vm.uid} and not attached; add to ${DEFAULT_CONFIG_PATH}: [discovery] users = [${wanted}]`,
        );
      }
      const ends = [...vm.viewers, ...vm.consoles, ...vm.agent === "" ? [] : [`agent ${vm.agent}`]];
      if (ends.length > 0) out.line(`${name} has: ${ends.map(visible).join(", ")}`);
      for (const option of lackOf(vm, client, hosts)) out.line(`${name} lacks: ${option}`);
    }
  },
};

/** What a daemon's config says: the numbers of the users whose VMs it attaches, the managers that it asks. */
function configured(): { readonly users: ReadonlySet<number>; readonly hosts: readonly string[] } {
  const uidsOf = (users: readonly string[] | undefined) =>
    new DiscoveryUsers(users, systemUsers(monotonicClock), Deno.uid() ?? -1, SILENT).uids();
  try {
    const { discovery, hosts } = readConfig(DEFAULT_CONFIG_PATH, false);
    return { users: uidsOf(discovery.users), hosts: managersOf(hosts.libvirt?.uri) };
  } catch (error) {
    // If the config is not readable or not valid, the defaults apply.
    if (error instanceof Fault) return { users: uidsOf(undefined), hosts: [] };
    throw error;
  }
}

/** The managers whose VMs the libvirtd of a uri runs; none without one. */
function managersOf(uri: string | undefined): readonly string[] {
  if (uri === undefined) return [];
  return uri === "qemu:///session" ? ["libvirt-session"] : ["libvirt", "nova"];
}
