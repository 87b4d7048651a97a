/**
 * What the host probe advises for what a VM lacks, in the form of who has started it: the domain's XML, an
 * option of the manager's, or QEMU's own.
 * @module
 */
import type { ProcessIdentity } from "../qemu/process_identity.ts";
import { isLibvirts, isManagersOwn, type VmManager } from "../qemu/vm_manager.ts";
import { LISTEN_PREFIX } from "../qemu/qmp_address.ts";
import { limaOptions, quickemuOptions } from "../ram/ram_remedy.ts";
import { cleanName } from "./endpoint_name.ts";
import type { QemuSetup } from "./qemu_command_line.ts";

/** How the option begins that gives a VM a monitor of ours. */
const OWN_MONITOR = "-qmp unix:/run/vmsig/";

/** How the table begins that names a monitor which the VM has. */
const NAMED_MONITOR = 'an [[endpoint]] with qmp = "';

/** Whether a daemon that has the VM's monitor needs none of this advice. */
export function isMonitorRemedy(advice: string): boolean {
  return advice.includes(OWN_MONITOR) || advice.startsWith(NAMED_MONITOR);
}

/** What of a VM the advice hangs on. */
export interface Lacking extends Pick<ProcessIdentity, "pid"> {
  /** The user that runs it. */
  readonly uid: number;
  /** What its command line says. */
  readonly setup: QemuSetup;
}

/**
 * What it lacks, each as it is to be typed.
 *
 * @param hasMonitor whether it has a monitor that is ours to use
 */
export function missingOf({ pid, uid, setup }: Lacking, hasMonitor: boolean): string[] {
  const missing: string[] = [];
  const { manager } = setup;
  if (!hasMonitor) missing.push(monitorRemedy(setup, cleanName(setup.name, pid), { pid, uid }));
  // Its one line says it of everything.
  if (manager === "multipass") return missing;
  if (setup.remedy !== "") missing.push(setup.remedy);
  // A sandbox has no screen, and its configuration has no devices.
  if (manager === "kata") return missing;
  if (setup.keyboards.length === 0) missing.push(deviceRemedy(manager, "keyboard"));
  if (!setup.hasTablet) missing.push(deviceRemedy(manager, "tablet"));
  return missing;
}

/** What gives a VM a monitor of ours. */
function monitorRemedy(
  setup: QemuSetup,
  name: string,
  { pid, uid }: { readonly pid: number; readonly uid: number },
): string {
  const { manager, tcpMonitor } = setup;
  const client = LEAVES_MONITORS.has(manager) ? undefined : clientRemedy(setup);
  if (client !== undefined) return client;
  const option = `${OWN_MONITOR}${name}.qmp,server=on,wait=off`;
  switch (manager) {
    case "libvirt":
    case "nova":
      return "a table [libvirt] in vmsigd.toml: vmsig speaks to it by libvirt, and the VM stays as it is";
    case "libvirt-session":
      return `[libvirt] uri = "qemu:///session", socket = "/run/user/${uid}/libvirt/libvirt-sock" and users = ["${uid}"] in vmsigd.toml (virtqemud-sock, where there is no libvirtd): the VM stays as it is`;
    case "kubevirt":
      return `[libvirt] uri = "qemu:///session", socket = "/proc/${pid}/root/run/libvirt/virtqemud-sock" and users = ["${uid}"] in vmsigd.toml: the pod's own libvirt`;
    case "proxmox":
      return `args: ${option} (qm set VMID --args): its own monitor is left to Proxmox`;
    case "incus":
      return `raw.qemu: ${option} (incus config set): its own monitor is left to Incus`;
    case "kata":
      return 'enable_debug and extra_monitor_socket = "qmp" (configuration.toml): the first is left to Kata';
    case "lima":
      return `${limaOptions(option)}: its own monitor is left to Lima`;
    case "multipass":
      return "another manager: Multipass has the only monitor and passes QEMU no options of yours; vmsig mem pid:N reads its memory";
    case "quickemu":
      return quickemuOptions(option);
    default:
      if (tcpMonitor !== "") {
        return `${NAMED_MONITOR}${tcpMonitor}" in vmsigd.toml: a monitor over TCP is used where it is named`;
      }
      return option;
  }
}

/** They take no monitors of others', or there is a better way to their VMs. */
const LEAVES_MONITORS: ReadonlySet<VmManager> = new Set([
  "libvirt",
  "libvirt-session",
  "nova",
  "kubevirt",
  "kata",
  "multipass",
]);
/** QEMU 9.2 and 10 have both, later ones the second alone. */
const RECONNECT = "reconnect=1 (reconnect-ms=1000 from QEMU 9.2 on)";
/** Paths that can be typed as they are: a command line may hold any bytes. */
const PLAIN_PATH = /^\/[\w.+@:/-]{1,106}$/;

/** What lets a monitor in that connects to a socket by itself; undefined without one. */
function clientRemedy({ qmp }: QemuSetup): string | undefined {
  const client = qmp.find(({ path, listens }) => !listens && PLAIN_PATH.test(path) && !isManagersOwn(path));
  if (client === undefined) return undefined;
  return `${NAMED_MONITOR}${LISTEN_PREFIX}${client.path}" in vmsigd.toml: this QEMU connects there, and vmsig listens unless another program does${
    client.reconnects === true ? "" : `; ${RECONNECT} in its -chardev has it connect again`
  }`;
}

function deviceRemedy(manager: VmManager, device: "keyboard" | "tablet"): string {
  const option = `-device virtio-${device}-pci`;
  if (manager === "nova") {
    return device === "tablet"
      ? "hw_pointer_model=usbtablet of the image (openstack image set --property)"
      : "hw_input_bus=usb of the image (openstack image set --property)";
  }
  if (isLibvirts(manager)) return `<input type='${device}' bus='virtio'/>`;
  if (manager === "proxmox") {
    return device === "tablet" ? "tablet: 1 (qm set VMID --tablet 1)" : `args: ${option}`;
  }
  if (manager === "quickemu") return quickemuOptions(option);
  if (manager === "lima") return limaOptions(option);
  return manager === "incus" ? `raw.qemu: ${option}` : option;
}
