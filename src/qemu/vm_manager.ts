/**
 * Guesses which manager has started a QEMU from the patterns in its command line: advice is given in that
 * manager's form, and its own monitor is not used. The guess affects messages only, never rights.
 * @module
 */
import type { CommandLine } from "./command_line.ts";

/** A manager of VMs; "" if none is recognised. */
export type VmManager = "libvirt" | "kubevirt" | "proxmox" | "incus" | "kata" | "";

/** Its name in a sentence. */
export const MANAGER_NAME: { readonly [M in VmManager]: string } = {
  libvirt: "libvirt",
  kubevirt: "KubeVirt's libvirt",
  proxmox: "Proxmox",
  incus: "Incus",
  kata: "Kata Containers",
  "": "another client",
};

/** Pattern of the monitor that a manager needs for itself: the socket's `PATH`. */
const MANAGERS_OWN =
  /^(?:\/var)?\/run\/(?:qemu-server\/\d+\.qmp|(?:incus|lxd)\/.*\/qemu\.monitor|vc\/.*\/qmp\.sock)$|\/domain-[^/]*\/monitor\.sock$/;

/** Recognises the manager. */
export function managerOf(line: CommandLine): VmManager {
  const monitors = line.lists("mon", "chardev").map((monitor) => monitor.get("chardev") ?? "");
  if (monitors.includes("charmonitor")) {
    const isPod = [...line.texts("chardev"), ...line.texts("device")].some((text) =>
      text.includes("/var/run/kubevirt")
    );
    return isPod ? "kubevirt" : "libvirt";
  }
  const pidfile = line.texts("pidfile").at(-1) ?? "";
  if (/\/qemu-server\/\d+\.pid$/.test(pidfile)) return "proxmox";
  if (/\/(?:incus|lxd)\/.*\/qemu\.conf$/.test(line.texts("readconfig").at(-1) ?? "")) return "incus";
  if (/^\/run\/vc\//.test(pidfile) || /^sandbox-/.test(line.merged("name", "guest").get("guest") ?? "")) {
    return "kata";
  }
  return "";
}

/** Whether a monitor's socket is reserved for its manager: another client would lock that one out. */
export function isManagersOwn(path: string): boolean {
  return path.length <= 256 && MANAGERS_OWN.test(path);
}
