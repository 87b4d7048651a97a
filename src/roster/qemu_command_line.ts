/**
 * A QEMU command line, read for what the host probe says of a VM: its name, its QMP sockets, what backs its
 * RAM, its keyboards and pointers, its display. How the words are taken apart, and what they say about
 * memory and monitors, is `src/qemu`'s.
 *
 * It knows nothing of processes; `host_probe.ts` does.
 * @module
 */
import { CommandLine } from "../qemu/command_line.ts";
import { asMapped, isSharedRam, type MemoryOptions, readMemoryOptions } from "../qemu/memory_options.ts";
import { hasMonitorByDescriptor, type QmpOffer, qmpOffersOf, tcpMonitorOf } from "../qemu/qmp_offers.ts";
import type { VmManager } from "../qemu/vm_manager.ts";
import { remedyOptions } from "../ram/ram_remedy.ts";
import { readPorts, type VmPorts } from "./vm_ports.ts";

/** What a command line says. */
export interface QemuSetup extends VmPorts {
  /** Whether all of it was read; what follows is only part of the truth when not. */
  readonly isWhole: boolean;
  /** From -name; "" without one. */
  readonly name: string;
  /** "pc", "q35", … as given; "" when QEMU's default stands. */
  readonly machine: string;
  /** RAM in bytes, as -m says; QEMU's default otherwise. */
  readonly ramBytes: number;
  /** Its QMP sockets, in the order given; a few dozen at most. */
  readonly qmp: readonly QmpOffer[];
  /** Whether it has one by a descriptor, which is its manager's alone. */
  readonly hasMonitorByDescriptor: boolean;
  /** Where it has one over TCP, which is used only where the config names it; "" without one. */
  readonly tcpMonitor: string;
  /** Who has started it, by the shape of its words. */
  readonly manager: VmManager;
  /** What backs the RAM. `shared`: another process can read it. */
  readonly memory: { readonly backend: string; readonly shared: boolean; readonly path: string };
  /** What to start it with so that its RAM can be shared; "" when it is. */
  readonly remedy: string;
  /** Names of keyboard and pointer devices, with those that the machine has by itself. */
  readonly keyboards: readonly string[];
  /** Names of pointer devices, likewise. */
  readonly pointers: readonly string[];
  /** Whether there is an absolute pointer. */
  readonly hasTablet: boolean;
  /** The display device and what shows it. */
  readonly display: string;
}

/** What is known of memory that a file describes (-readconfig): its file is not read. */
const IN_FILE = "as its config file says";
/** Characters of a name that are looked at: an endpoint's has far fewer. */
const MAX_NAME_CHARS = 256;
/** Characters of a device's name; the longest of QEMU's own has half as many. */
const MAX_DEVICE_CHARS = 64;
/** Input devices of one kind that are told. */
const MAX_DEVICES = 16;

/**
 * Reads a whole command line, without the program's name.
 *
 * @param maps the text of the process's /proc/PID/maps, where {@linkcode needsMaps} says that it is needed
 */
export function readQemuCommandLine(args: readonly string[], maps = ""): QemuSetup {
  const line = new CommandLine(args);
  const memory = asMapped(readMemoryOptions(line), maps);
  const isInFile = line.has("readconfig") && memory.ramIds.length === 0;
  const backing = isInFile
    ? { backend: IN_FILE, shared: false, path: "" }
    : memoryOf(memory, line.texts("mem-path").at(-1));
  const devices = line.lists("device", "driver").map((device) => device.get("driver") ?? "")
    .filter((driver) => driver.length <= MAX_DEVICE_CHARS);
  return {
    isWhole: line.isWhole,
    name: (line.merged("name", "guest").get("guest") ?? "").slice(0, MAX_NAME_CHARS),
    machine: memory.machine.slice(0, MAX_DEVICE_CHARS),
    ramBytes: memory.ramBytes,
    qmp: qmpOffersOf(line),
    hasMonitorByDescriptor: hasMonitorByDescriptor(line),
    tcpMonitor: tcpMonitorOf(line),
    manager: memory.manager,
    memory: backing,
    remedy: backing.shared || backing.backend === IN_FILE ? "" : remedyOptions(memory),
    ...readPorts(line),
    ...inputOf(line, devices),
    display: displayOf(line, devices),
  };
}

/** Whether a command line alone does not tell whether the RAM is shared (see {@linkcode asMapped}). */
export function needsMaps(args: readonly string[]): boolean {
  return args.some((word) => word.includes("memory-backend-ram")) &&
    readMemoryOptions(new CommandLine(args)).backends.some(isSharedRam);
}

function memoryOf({ backends, ramIds }: MemoryOptions, memPath: string | undefined): QemuSetup["memory"] {
  const byId = new Map(backends.map((backend) => [backend.id, backend]));
  const ram = ramIds.map((id) => byId.get(id));
  const [first] = ram;
  if (first === undefined) {
    return memPath === undefined
      ? { backend: "private", shared: false, path: "" }
      : { backend: "mem-path", shared: false, path: memPath };
  }
  return {
    backend: first.type.slice("memory-backend-".length).slice(0, MAX_DEVICE_CHARS),
    shared: ram.every((backend) => backend?.share === true),
    path: first.path ?? "",
  };
}

function inputOf(
  line: CommandLine,
  devices: readonly string[],
): Pick<QemuSetup, "keyboards" | "pointers" | "hasTablet"> {
  const usb = line.texts("usbdevice").filter((name) => name.length <= MAX_DEVICE_CHARS);
  const names = [...devices, ...usb];
  const keyboards = names.filter((name) => /keyboard|kbd/.test(name)).slice(0, MAX_DEVICES);
  const pointers = names.filter((name) => /tablet|mouse|multitouch/.test(name)).slice(0, MAX_DEVICES);
  // pc and q35 have a PS/2 keyboard and mouse unless i8042 is off; virt (arm64, riscv64) has none at all.
  const machine = line.merged("machine", "type");
  if (machine.get("i8042") !== "off" && !/^virt(?:-[0-9.]+)?$/.test(machine.get("type") ?? "")) {
    keyboards.push("ps2-kbd");
    pointers.push("ps2-mouse");
  }
  return { keyboards, pointers, hasTablet: pointers.some((name) => /tablet|multitouch/.test(name)) };
}

function displayOf(line: CommandLine, devices: readonly string[]): string {
  const adapter = devices.find((name) => /vga|gpu|qxl|ramfb|bochs-display/i.test(name)) ??
    line.texts("vga").at(-1) ?? (line.has("nodefaults") ? "none" : "std");
  const shown = line.lists("display", "type").at(-1)?.get("type") ??
    (line.has("nographic") ? "none" : "default");
  return `${adapter}/${shown}`.slice(0, 2 * MAX_DEVICE_CHARS);
}
