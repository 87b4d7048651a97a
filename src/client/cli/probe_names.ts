/**
 * A probed VM for a program (`vmsig probe --json`): every path in the reversible form that its name has. In
 * JSON itself a byte that is not UTF-8 could only be half of a surrogate pair, which many readers take for
 * U+FFFD: two paths would look the same.
 * @module
 */
import { printableName } from "../../base/printable.ts";
import type { ProbedVm } from "../../roster/host_probe.ts";

/** The same VM with its paths in that form. */
export function withNames(vm: ProbedVm): ProbedVm {
  return {
    ...vm,
    qmp: printableName(vm.qmp),
    monitors: vm.monitors.map((monitor) => ({ ...monitor, path: printableName(monitor.path) })),
    calls: vm.calls.map((path) => printableName(path)),
    viewers: vm.viewers.map((viewer) => printableName(viewer)),
    consoles: vm.consoles.map((console) => printableName(console)),
    agent: printableName(vm.agent),
  };
}
