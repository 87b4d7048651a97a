/**
 * What `vmsig probe` says about who uses a VM's monitors, and its advice. If vmsig's own daemon uses one,
 * nothing is missing. For a domain of which libvirt alone uses the monitor, no user needs to be listed: its
 * VM is accessed through libvirt.
 *
 * The kernel reports the process at the other end of a monitor's socket to users who may see both processes;
 * to others it is "another client".
 * @module
 */
import { holderNow } from "../../adapters/channel/channel_holder.ts";
import { isLibvirts } from "../../qemu/vm_manager.ts";
import type { ProbedVm } from "../../roster/host_probe.ts";
import { isMonitorRemedy } from "../../roster/probe_remedy.ts";

/** The user of a VM's monitor. */
export interface MonitorClient {
  /** Its pid. */
  readonly pid: number;
  /** Its name, printable. */
  readonly name: string;
  /** Whether it is a daemon of vmsig's. */
  readonly isDaemon: boolean;
}

/** A daemon has its runtime directory's lock open (daemon/runtime_lock.ts). */
const DAEMON_LOCK = /\/daemon\.lock$/;

/** Finds the client of a VM's monitors, other than a manager on its own one; our daemon takes precedence. */
export function monitorClient(
  vm: Pick<ProbedVm, "pid" | "monitors" | "calls">,
  find: typeof holderNow = holderNow,
  isDaemon: (pid: number) => boolean = hasDaemonLock,
): MonitorClient | undefined {
  let first: MonitorClient | undefined;
  for (const { path, busy, holder } of vm.monitors) {
    if (!busy || holder !== undefined) continue;
    const found = find({ kind: "unix", path, isFree: false }, vm.pid);
    if (found === undefined) continue;
    const client = { ...found, isDaemon: isDaemon(found.pid) };
    if (client.isDaemon) return client;
    first ??= client;
  }
  // Whoever else a monitor connects to is its peer of old, and in nobody's way.
  for (const path of vm.calls) {
    const found = find({ kind: "called", path }, vm.pid);
    if (found !== undefined && isDaemon(found.pid)) return { ...found, isDaemon: true };
  }
  return first;
}

function hasDaemonLock(pid: number): boolean {
  try {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
      if (DAEMON_LOCK.test(Deno.readLinkSync(`/proc/${pid}/fd/${name}`))) return true;
    }
  } catch (error) {
    // It has ended, or has just closed one of them.
    if (!(error instanceof Error)) throw error;
  }
  return false;
}

/** The text of the table's monitor column. */
export function monitorWords(vm: ProbedVm, client: MonitorClient | undefined): string {
  if (client?.isDaemon === true) return `held by vmsig's daemon (${client.pid})`;
  if (vm.qmp !== "") return vm.qmp;
  if (vm.refusal !== "" || vm.monitors.length === 0) return "-";
  const manager = vm.monitors.find(({ holder }) => holder !== undefined)?.holder;
  const other = client === undefined ? "another client" : `${client.name} (${client.pid})`;
  return `held by ${manager ?? other}`;
}

/** The advice to reach a VM through libvirt (probe_remedy.ts). */
const LIBVIRT_TABLE = /^(a table )?\[libvirt\]/;

/** Whether a daemon reaches a VM through its manager, as its config says. @param hosts those managers */
export function isReachedByHost(
  { manager, monitors }: Pick<ProbedVm, "manager" | "monitors">,
  hosts: readonly string[],
): boolean {
  return hosts.includes(manager) && monitors.some(({ holder }) => holder !== undefined);
}

/** What a VM lacks: no monitor of ours where our daemon has one, or reaches the VM through its manager. */
export function lackOf(
  vm: ProbedVm,
  client: MonitorClient | undefined,
  hosts: readonly string[] = [],
): readonly string[] {
  const isReached = isReachedByHost(vm, hosts);
  return vm.missing.filter((each) =>
    !(client?.isDaemon === true && isMonitorRemedy(each)) && !(isReached && LIBVIRT_TABLE.test(each))
  );
}

/** Whether it is a matter of `[discovery] users` that a VM of a user who is not listed is not attached. */
export function needsListing(
  vm: ProbedVm,
  client: MonitorClient | undefined,
  hosts: readonly string[] = [],
): boolean {
  if (client?.isDaemon === true || isReachedByHost(vm, hosts)) return false;
  return !isLibvirts(vm.manager) || vm.monitors.some(({ holder }) => holder === undefined);
}
