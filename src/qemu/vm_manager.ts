/**
 * Who has started a QEMU, as far as its command line shows by the shapes that each manager writes: advice is
 * given in that manager's own form, and its own monitor is left to it. It is a guess that decides over words
 * alone, never over rights.
 * @module
 */
import type { CommandLine } from "./command_line.ts";

/** A manager of VMs; "" where nobody is recognized. */
export type VmManager = "libvirt" | "kubevirt" | "proxmox" | "incus" | "kata" | "";

/** What each is called in a sentence. */
export const MANAGER_NAME: { readonly [M in VmManager]: string } = {
  libvirt: "libvirt",
  kubevirt: "KubeVirt's libvirt",
  proxmox: "Proxmox",
  incus: "Incus",
  kata: "Kata Containers",
  "": "another client",
};

/** A monitor of which a manager has the only use: `PATH` of the socket. */
const MANAGERS_OWN =
  /^(?:\/var)?\/run\/(?:qemu-server\/\d+\.qmp|(?:incus|lxd)\/.*\/qemu\.monitor|vc\/.*\/qmp\.sock)$|\/domain-[^/]*\/monitor\.sock$/;

/** Recognizes who has started it. */
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

/** Whether a monitor's socket is one that a manager has for itself: whoever takes it locks that one out. */
export function isManagersOwn(path: string): boolean {
  return path.length <= 256 && MANAGERS_OWN.test(path);
}
