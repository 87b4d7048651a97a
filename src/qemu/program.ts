/**
 * Whether a process is a QEMU system emulator: by the name of its program, or, whatever that is called (a
 * wrapped or a patched build), by what it says and maps. None of it proves anything: whoever runs a program
 * names it. It tells VMs from everything else; how far one is believed is for the host probe to say.
 * @module
 */
import { isKnownOption, takesArgument } from "./command_line.ts";

/** Options before which a command line is not taken for a QEMU's: one of each is needed. */
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

/** Whether a program is called as a QEMU system emulator is; nix has `.qemu-system-x86_64-wrapped`. */
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
 * Whether a command line begins as a QEMU's does: options that QEMU knows, one after another, until a monitor
 * and a machine have been named. Whoever starts a QEMU (timeout, sudo, a script) has other words first.
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
 * Whether a process has mapped what a QEMU maps: a virtual CPU, RAM of its own making, or the libraries of
 * device trees and pixels that hardly another program uses together with a monitor's options.
 *
 * @param maps the text of its /proc/PID/maps
 */
export function mapsAsQemu(maps: string): boolean {
  return /anon_inode:kvm-vcpu|\/memfd:memory-backend-|\/lib(fdt|pixman)[-.]/.test(maps);
}
