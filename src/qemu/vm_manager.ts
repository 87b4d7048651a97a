/**
 * Who has started a QEMU, as far as its command line shows by the shapes that each manager writes: advice is
 * given in that manager's own form, and its own monitor is left to it. It is a guess that decides over words
 * alone, never over rights.
 * @module
 */
import type { CommandLine } from "./command_line.ts";

/**
 * A manager of VMs; "" where nobody is recognized. Of libvirt, "libvirt-session" is a user's own (GNOME
 * Boxes), "nova" OpenStack's and "kubevirt" a pod's.
 */
export type VmManager =
  | "libvirt"
  | "libvirt-session"
  | "nova"
  | "kubevirt"
  | "proxmox"
  | "incus"
  | "kata"
  | "lima"
  | "multipass"
  | "quickemu"
  | "";

/** What each is called in a sentence. */
export const MANAGER_NAME: { readonly [M in VmManager]: string } = {
  libvirt: "libvirt",
  "libvirt-session": "its user's libvirt",
  nova: "OpenStack's libvirt",
  kubevirt: "KubeVirt's libvirt",
  proxmox: "Proxmox",
  incus: "Incus",
  kata: "Kata Containers",
  lima: "Lima",
  multipass: "Multipass",
  quickemu: "quickemu",
  "": "another client",
};

/** A monitor of which a manager has the only use: `PATH` of the socket. */
const MANAGERS_OWN =
  /^(?:\/var)?\/run\/(?:qemu-server\/\d+\.qmp|(?:incus|lxd)\/.*\/qemu\.monitor|vc\/.*\/qmp\.sock)$|\/domain-[^/]*\/monitor\.sock$|\/[._]lima\/[^/]+\/qmp\.sock$/;
/** Where the libvirt of a user keeps a domain's files. */
const SESSION_FILES = /\/\.(?:config|local\/share|cache)\/libvirt\/|^\/run\/user\/\d+\/libvirt\//;

/** Recognizes who has started it. */
export function managerOf(line: CommandLine): VmManager {
  const monitors = line.lists("mon", "chardev").map((monitor) => monitor.get("chardev") ?? "");
  if (monitors.includes("charmonitor")) return libvirtOf(line);
  const pidfile = line.texts("pidfile").at(-1) ?? "";
  const name = line.merged("name", "guest").get("guest") ?? "";
  if (/\/qemu-server\/\d+\.pid$/.test(pidfile)) return "proxmox";
  if (/\/(?:incus|lxd)\/.*\/qemu\.conf$/.test(line.texts("readconfig").at(-1) ?? "")) return "incus";
  if (/^\/run\/vc\//.test(pidfile) || /^sandbox-/.test(name)) return "kata";
  if (name.startsWith("lima-") && line.texts("qmp").includes("chardev:char-qmp")) return "lima";
  if (line.texts("qmp").includes("stdio") && hasFileIn(line, "/multipassd/")) return "multipass";
  const isQuickemus = ["monitor", "serial"].every((option) =>
    line.texts(option).some((text) => text.startsWith("unix:") && text.includes(`-${option}.socket`))
  );
  return isQuickemus ? "quickemu" : "";
}

/** Whose libvirt. */
function libvirtOf(line: CommandLine): VmManager {
  const isPod = [...line.texts("chardev"), ...line.texts("device")].some((text) =>
    text.includes("/var/run/kubevirt")
  );
  const maker = line.lists("smbios", "type").map((each) =>
    `${each.get("manufacturer")}/${each.get("product")}`
  );
  if (isPod || maker.some((each) => each.startsWith("KubeVirt/"))) return "kubevirt";
  if (maker.some((each) => each.includes("/OpenStack "))) return "nova";
  const secrets = line.lists("object", "qom-type").map((object) => object.get("file") ?? "");
  return secrets.some((file) => SESSION_FILES.test(file)) ? "libvirt-session" : "libvirt";
}

/** Whether a disk of its lies below a folder of this name. */
function hasFileIn(line: CommandLine, folder: string): boolean {
  return ["drive", "blockdev", "hda", "cdrom"].some((option) =>
    line.texts(option).some((text) => text.includes(folder))
  );
}

/** Whether its VMs are domains of a libvirt's, which vmsig speaks to. */
export function isLibvirts(manager: VmManager): boolean {
  return manager === "libvirt" || manager === "libvirt-session" || manager === "nova" ||
    manager === "kubevirt";
}

/** Whether a monitor's socket is one that a manager has for itself: whoever takes it locks that one out. */
export function isManagersOwn(path: string): boolean {
  return path.length <= 256 && MANAGERS_OWN.test(path);
}
