/**
 * Guesses which manager has started a QEMU from the patterns in its command line: advice is given in that
 * manager's form, and its own monitor is not used. The guess affects messages only, never rights.
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

/** Its name in a sentence. */
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

/** Pattern of the monitor that a manager needs for itself: the socket's `PATH`. */
const MANAGERS_OWN =
  /^(?:\/var)?\/run\/(?:qemu-server\/\d+\.qmp|qmeventd\.sock|(?:incus|lxd)\/.*\/qemu\.monitor|vc\/.*\/qmp\.sock)$|\/domain-[^/]*\/monitor\.sock$|\/[._]lima\/[^/]+\/qmp\.sock$/;
/** Where the libvirt of a user keeps a domain's files. */
const SESSION_FILES = /\/\.(?:config|local\/share|cache)\/libvirt\/|^\/run\/user\/\d+\/libvirt\//;

/** Recognises the manager. */
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

/** Whether a monitor's socket is reserved for its manager: another client would lock that one out. */
export function isManagersOwn(path: string): boolean {
  return path.length <= 256 && MANAGERS_OWN.test(path);
}
