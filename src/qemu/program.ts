/**
 * Decides whether a process is a QEMU system emulator: by its program's name, or, if that is another (a
 * wrapped or patched build), by its arguments and mappings. None of this is proof, since the user who runs a
 * program can choose it. It only separates VMs from other processes; the host probe decides how far one is
 * trusted.
 * @module
 */
import { isKnownOption, takesArgument } from "./command_line.ts";

/** Options that a command line must have to count as a QEMU's: one of each. */
const MONITOR: ReadonlySet<string> = new Set(["qmp", "qmp-pretty", "mon"]);
const HARDWARE: ReadonlySet<string> = new Set([
  "machine",
  "M",
  "accel",
  "enable-kvm",
  "nodefaults",
  "m",
  "device",
]);

/** Whether a program's name is that of a QEMU system emulator; nix has `.qemu-system-x86_64-wrapped`. */
export function isQemuProgram(path: string): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1).replace(/ \(deleted\)$/, "");
  return /^\.?(qemu-system-|qemu-kvm)|^kvm$/.test(name);
}

/** Programs that run VMs and are no QEMU, by their executable: how each is called in a sentence. */
const OTHER_VMMS: ReadonlyMap<string, string> = new Map([
  ["cloud-hypervisor", "Cloud Hypervisor"],
  ["crosvm", "crosvm"],
  ["firecracker", "Firecracker"],
  ["VBoxHeadless", "VirtualBox"],
  ["VirtualBoxVM", "VirtualBox"],
  ["vmware-vmx", "VMware"],
]);

/** Which VMM a program is that is no QEMU, as far as its name tells; undefined for any other program. */
export function otherVmmOf(path: string): string | undefined {
  const name = path.slice(path.lastIndexOf("/") + 1).replace(/ \(deleted\)$/, "");
  return OTHER_VMMS.get(name.replace(/^\.(.*)-wrapped$/, "$1"));
}

/**
 * Whether a command line begins like a QEMU's: with options that QEMU knows, until a monitor and a machine
 * have been named. A launcher (timeout, sudo, a script) has other words first.
 *
 * @param words the program's name and its arguments
 */
export function saysQemu(words: readonly string[]): boolean {
  let hasMonitor = false;
  let hasHardware = false;
  for (let i = 1; i < words.length && !(hasMonitor && hasHardware); i++) {
    const word = words[i] as string;
    if (!word.startsWith("-")) return false;
    const name = word.slice(word.startsWith("--") ? 2 : 1);
    if (!isKnownOption(name)) return false;
    if (takesArgument(name)) i++;
    hasMonitor ||= MONITOR.has(name);
    hasHardware ||= HARDWARE.has(name);
  }
  return hasMonitor && hasHardware;
}

/**
 * Whether a process has mapped what a QEMU maps: a virtual CPU, RAM of its own, or the libraries for device
 * trees and pixels, which hardly any other program uses together with a monitor's options.
 *
 * @param maps the contents of its /proc/PID/maps
 */
export function mapsAsQemu(maps: string): boolean {
  return /anon_inode:kvm-vcpu|\/memfd:memory-backend-|\/lib(fdt|pixman)[-.]/.test(maps);
}
