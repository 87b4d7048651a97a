/**
 * What `vmsig probe` says of who has a VM's monitors, and what it advises. A monitor that vmsig's own daemon
 * holds is what should be: nothing is missing then. Of a domain that libvirt alone holds, no user need be
 * listed: its VM is reached through libvirt.
 *
 * Who is at the other end of a monitor's socket the kernel tells to those who may see both processes; for
 * others it is "another client".
 * @module
 */
import { holderNow } from "../../adapters/channel/channel_holder.ts";
import { HOST_TABLE, OWN_MONITOR, type ProbedVm } from "../../roster/host_probe.ts";

/** Who holds a VM's monitor. */
export interface MonitorClient {
  /** Its process. */
  readonly pid: number;
  /** What that calls itself, printable. */
  readonly name: string;
  /** Whether it is a daemon of vmsig's. */
  readonly isDaemon: boolean;
}

/** A daemon has its runtime directory's lock open (daemon/runtime_lock.ts). */
const DAEMON_LOCK = /\/daemon\.lock$/;

/** Who is connected to a VM's monitors, but a manager to its own; our daemon before others. */
export function monitorClient(
  vm: Pick<ProbedVm, "pid" | "monitors">,
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

/** The monitor's column of the table. */
export function monitorWords(vm: ProbedVm, client: MonitorClient | undefined): string {
  if (client?.isDaemon === true) return `held by vmsig's daemon (${client.pid})`;
  if (vm.qmp !== "") return vm.qmp;
  if (vm.refusal !== "" || vm.monitors.length === 0) return "-";
  const manager = vm.monitors.find(({ holder }) => holder !== undefined)?.holder;
  const other = client === undefined ? "another client" : `${client.name} (${client.pid})`;
  return `held by ${manager ?? other}`;
}

/** Whether a daemon reaches a VM through its manager, as its config says. @param hosts the managers there */
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
    !(client?.isDaemon === true && each.includes(OWN_MONITOR)) && !(isReached && each.startsWith(HOST_TABLE))
  );
}

/** Whether it is a matter of `[discovery] users` that a VM of a user who is not listed is not attached. */
export function needsListing(
  vm: ProbedVm,
  client: MonitorClient | undefined,
  hosts: readonly string[] = [],
): boolean {
  if (client?.isDaemon === true || isReachedByHost(vm, hosts)) return false;
  const isHosted = vm.manager === "libvirt" || vm.manager === "kubevirt";
  return !isHosted || vm.monitors.some(({ holder }) => holder === undefined);
}
