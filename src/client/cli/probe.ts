/**
 * `vmsig probe`: what runs on this host, and what each VM lacks to be attached, with the exact QEMU option to add. Needs no daemon.
 * @module
 */
import { probeHost } from "../../roster/host_probe.ts";
import { ProcHost } from "../../roster/proc_host.ts";
import type { CommandModule } from "./command.ts";
import { printTable } from "./table.ts";

/** The command. */
export const probe: CommandModule = {
  args: { min: 0, max: 0 },
  isClient: false,
  details:
    "Reads /proc only: it connects to no monitor and disturbs no VM. A VM can be attached when it offers a QMP socket that nobody is connected to; with a shared RAM backend its memory can be read too.",
  examples: ["probe", "probe --json"],
  run({ json, out }) {
    const vms = probeHost(new ProcHost());
    if (json) {
      for (const vm of vms) out.json({ ...vm });
      return Promise.resolve();
    }
    if (vms.length === 0) {
      out.line("no QEMU runs here (or none that this user may look at)");
      return Promise.resolve();
    }
    printTable(
      out,
      ["PID", "NAME", "QMP", "MEMORY", "INPUT", "ATTACHABLE"],
      vms.map((vm) => [
        `${vm.pid}`,
        vm.name,
        vm.qmp !== "" ? vm.qmp : vm.monitors.length > 0 ? "held by another client" : "-",
        vm.memory,
        vm.input.join(" "),
        vm.attachable ? "yes" : "no",
      ]),
    );
    for (const vm of vms) {
      for (const option of vm.missing) out.line(`${vm.name} (${vm.pid}) lacks: ${option}`);
    }
    return Promise.resolve();
  },
};
