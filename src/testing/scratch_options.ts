/**
 * What a scratch VM is made of, and the words that QEMU is started with.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { MachineOptions } from "./machine_options.ts";

/** A VM that a test boots for itself. */
export interface ScratchOptions extends Omit<MachineOptions, "socket"> {
  /** What it is called; "scratch" unless told. */
  readonly name?: string;
  /** A disk image's path. What the guest writes is thrown away, unless `keepsDisk`. */
  readonly disk?: string;
  /** Whether what the guest writes stays in the image; false unless told. */
  readonly keepsDisk?: boolean;
  /** A CD image's path. */
  readonly cdrom?: string;
  /** A kernel's path: it is booted without a boot loader. */
  readonly kernel?: string;
  /** Its initramfs's path. */
  readonly initrd?: string;
  /** The kernel's command line. */
  readonly append?: string;
  /** RAM, MiB; 1024 unless told. */
  readonly memoryMiB?: number;
  /** Virtual processors; 1 unless told. */
  readonly cpus?: number;
  /** "kvm", "tcg", or the first of them that this user may use (unless told). */
  readonly accelerator?: "kvm" | "tcg" | "auto";
  /** Whether the guest reaches the network through this host, by QEMU's user network; false unless told. */
  readonly hasNetwork?: boolean;
  /** More lines for the daemon's config: who else is let in, `[[admission]]`. */
  readonly config?: string;
  /** More words for QEMU. */
  readonly args?: readonly string[];
  /** The QEMU program; "qemu-system-x86_64" unless told. */
  readonly qemu?: string;
  /** The words that start vmsig; unless told this library's own sources, or `vmsig` where it has none. */
  readonly vmsig?: readonly string[];
}

/** QEMU's and the daemon's sockets, in a folder of the test's own. */
export interface ScratchPaths {
  /** The folder. */
  readonly folder: string;
  /** The monitor's socket. */
  readonly monitor: string;
  /** The serial port's. */
  readonly serial: string;
  /** The guest agent's channel. */
  readonly agent: string;
  /** The daemon's control socket. */
  readonly control: string;
  /** Its config. */
  readonly config: string;
}

/** Where everything of one scratch VM lies. */
export function scratchPaths(folder: string): ScratchPaths {
  return {
    folder,
    monitor: `${folder}/qmp.sock`,
    serial: `${folder}/serial.sock`,
    agent: `${folder}/agent.sock`,
    control: `${folder}/control.sock`,
    config: `${folder}/vmsigd.toml`,
  };
}

/**
 * QEMU's words: RAM that the daemon can read, one monitor, a display without a window, a keyboard and a
 * tablet, a serial port and the guest agent's channel. It starts paused.
 *
 * @throws {Fault} `bad-argument` for sizes that are not whole numbers from 1 on
 */
export function qemuWords(options: ScratchOptions, paths: ScratchPaths): string[] {
  const { name = "scratch", memoryMiB = 1024, cpus = 1, args = [] } = options;
  for (const [what, value] of [["memoryMiB", memoryMiB], ["cpus", cpus]] as const) {
    if (!Number.isInteger(value) || value < 1) {
      throw new Fault("bad-argument", `Cannot start a VM: ${what} ${value} is not a whole number from 1 on`);
    }
  }
  const words = ["-S", "-name", quoted(name), "-display", "none", "-vga", "std", "-nodefaults"];
  words.push("-m", `${memoryMiB}`, "-smp", `${cpus}`);
  words.push("-object", `memory-backend-memfd,id=ram0,size=${memoryMiB}M,share=on`);
  words.push("-machine", "q35,memory-backend=ram0", "-accel", acceleratorOf(options));
  words.push("-qmp", `unix:${quoted(paths.monitor)},server=on,wait=off`);
  words.push("-chardev", `socket,id=serial0,path=${quoted(paths.serial)},server=on,wait=off`);
  words.push("-serial", "chardev:serial0", "-device", "virtio-serial-pci");
  words.push("-chardev", `socket,id=agent0,path=${quoted(paths.agent)},server=on,wait=off`);
  words.push("-device", "virtserialport,chardev=agent0,name=org.qemu.guest_agent.0");
  words.push("-device", "virtio-keyboard-pci", "-device", "virtio-tablet-pci");
  if (options.disk !== undefined) {
    const keeps = options.keepsDisk === true ? "off" : "on";
    words.push("-drive", `file=${quoted(options.disk)},if=virtio,snapshot=${keeps}`);
  }
  if (options.cdrom !== undefined) {
    words.push("-drive", `file=${quoted(options.cdrom)},media=cdrom,readonly=on`);
  }
  if (options.kernel !== undefined) words.push("-kernel", options.kernel);
  if (options.initrd !== undefined) words.push("-initrd", options.initrd);
  if (options.append !== undefined) words.push("-append", options.append);
  if (options.hasNetwork === true) words.push("-nic", "user,model=virtio-net-pci");
  return [...words, ...args];
}

/** The daemon's config: this one VM, and no look at others. */
export function daemonConfig({ name = "scratch", config = "" }: ScratchOptions, paths: ScratchPaths): string {
  const text = JSON.stringify;
  return `[discovery]\nprobe = false\n[[endpoint]]\nname = ${text(name)}\nqmp = ${
    text(paths.monitor)
  }\n${config}`;
}

/** The words that start vmsig. */
export function vmsigWords({ vmsig }: ScratchOptions): readonly string[] {
  if (vmsig !== undefined) return vmsig;
  const main = new URL("../../main.ts", import.meta.url);
  if (main.protocol !== "file:") return ["vmsig"];
  const config = new URL("../../deno.json", import.meta.url);
  return [Deno.execPath(), "run", "-q", "-A", "--config", config.pathname, main.pathname];
}

/** In QEMU's options a comma is written twice. */
function quoted(value: string): string {
  return value.replaceAll(",", ",,");
}

function acceleratorOf({ accelerator = "auto" }: ScratchOptions): "kvm" | "tcg" {
  if (accelerator !== "auto") return accelerator;
  try {
    Deno.openSync("/dev/kvm", { read: true, write: true }).close();
    return "kvm";
  } catch {
    // Not there, or not for this user: whichever it is, TCG does without it.
    return "tcg";
  }
}
