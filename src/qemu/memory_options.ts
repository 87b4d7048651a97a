/**
 * The memory configuration in a QEMU's command line: machine type, size, backends, and which of them are its
 * RAM, in order. It only reads the words; `src/ram` determines what the process has really mapped.
 * @module
 */
import { managerOf, type VmManager } from "./vm_manager.ts";
import { type CommandLine, isOn, type Properties, readSize } from "./command_line.ts";

const MIB = 2 ** 20;
const DEFAULT_RAM_BYTES = 128 * MIB;

/** A memory backend as the command line defines it. */
export interface BackendOption {
  /**
   * The type of object: "memory-backend-memfd", "memory-backend-file", "memory-backend-ram",
   * "memory-backend-shm".
   */
  readonly type: string;
  /** Its id. */
  readonly id: string;
  /** Its size, bytes; undefined if not given. */
  readonly sizeBytes: number | undefined;
  /**
   * Whether it is shared; a memfd is by default, POSIX shared memory always. Whether another process can
   * share a memory-backend-ram is determined by {@linkcode asMapped}.
   */
  readonly share: boolean;
  /** `mem-path`, for a file. */
  readonly path: string | undefined;
  /** `offset`, its offset in that file (QEMU 8.1 and later); 0 by default. */
  readonly fileOffset: number;
}

/** A device with more RAM: a DIMM, or virtio-mem. */
export interface MemoryDeviceOption {
  /** Its backend's id. */
  readonly backend: string;
  /** Its guest-physical address, if given; otherwise QEMU chooses it. */
  readonly address: number | undefined;
}

/** The memory configuration. */
export interface MemoryOptions {
  /** The machine type; "" if not given. */
  readonly machine: string;
  /** Size of RAM, bytes; 128 MiB by default. */
  readonly ramBytes: number;
  /** `max-ram-below-4g`. */
  readonly maxBelow: number | undefined;
  /** All backends, in order of the line. */
  readonly backends: readonly BackendOption[];
  /** Ids of the backends that form the machine's RAM, in order; empty if RAM has no backend. */
  readonly ramIds: readonly string[];
  /** Whether RAM is formed by NUMA nodes' backends; then the machine does not accept `memory-backend`. */
  readonly isNuma: boolean;
  /** Whether `-mem-path` is given; then the machine does not accept `memory-backend` either. */
  readonly hasMemPath: boolean;
  /** Memory devices, in order of the line. */
  readonly devices: readonly MemoryDeviceOption[];
  /** The manager that started it, which determines the form of advice. */
  readonly manager: VmManager;
}

/** Reads the memory configuration. */
export function readMemoryOptions(line: CommandLine): MemoryOptions {
  const machine = line.merged("machine", "type");
  const memory = line.merged("m", "size");
  const backend = machine.get("memory-backend");
  const nodes = nodeBackends(line.lists("numa", "type"));
  return {
    machine: machine.get("type") ?? "",
    ramBytes: readSize(memory.get("size"), MIB) ?? DEFAULT_RAM_BYTES,
    maxBelow: readSize(machine.get("max-ram-below-4g"), 1),
    backends: line.lists("object", "qom-type").flatMap(backendOf),
    ramIds: backend !== undefined ? [backend] : nodes,
    isNuma: nodes.length > 0,
    hasMemPath: line.has("mem-path"),
    devices: line.lists("device", "driver").flatMap(deviceOf),
    manager: managerOf(line),
  };
}

/** A mapping of shared memory without a file, in /proc/PID/maps. */
const ANONYMOUS = /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) rw.s \S+ \S+ \d+ +\/dev\/zero \(deleted\)$/gm;

/**
 * The configuration as the process has it: a `memory-backend-ram` with share=on is a memfd since QEMU 10.0;
 * before, it is anonymous memory that only child processes can share. The mappings show which.
 *
 * @param options what the command line says
 * @param maps the contents of its /proc/PID/maps; "" if not readable, and then the options are taken as they
 *   are
 */
export function asMapped<Options extends Pick<MemoryOptions, "backends">>(
  options: Options,
  maps: string,
): Options {
  if (!options.backends.some(isSharedRam)) return options;
  const sizes = Array.from(
    maps.matchAll(ANONYMOUS),
    ([, start = "", end = ""]) => Number(BigInt(`0x${end}`) - BigInt(`0x${start}`)),
  );
  const backends = options.backends.map((backend) =>
    isSharedRam(backend) && sizes.some((size) => size >= (backend.sizeBytes ?? 1))
      ? { ...backend, share: false }
      : backend
  );
  return { ...options, backends };
}

/** Whether only the process's mappings show if another process can share a backend. */
export function isSharedRam({ type, share }: BackendOption): boolean {
  return share && type === "memory-backend-ram";
}

/** A DIMM has `addr`, a virtio-mem `memaddr`. */
function deviceOf(options: Properties): MemoryDeviceOption[] {
  const driver = options.get("driver") ?? "";
  const backend = options.get("memdev");
  if (backend === undefined || (driver !== "pc-dimm" && !driver.startsWith("virtio-mem-"))) return [];
  const address = options.get(driver === "pc-dimm" ? "addr" : "memaddr");
  return [{ backend, address: address === undefined ? undefined : Number(address) || undefined }];
}

/**
 * RAM is formed by the nodes in order of their numbers; a node without a number gets the number of nodes so
 * far.
 */
function nodeBackends(numa: readonly Properties[]): string[] {
  const nodes: { readonly number: number; readonly memdev: string | undefined }[] = [];
  for (const options of numa) {
    if ((options.get("type") ?? "node") !== "node") continue;
    const number = readSize(options.get("nodeid"), 1) ?? nodes.length;
    nodes.push({ number, memdev: options.get("memdev") });
  }
  nodes.sort((a, b) => a.number - b.number);
  return nodes.flatMap(({ memdev }) => memdev ?? []);
}

function backendOf(options: Properties): BackendOption[] {
  const type = options.get("qom-type") ?? "";
  const id = options.get("id");
  if (!type.startsWith("memory-backend-") || id === undefined) return [];
  const share = options.get("share");
  return [{
    type,
    id,
    sizeBytes: readSize(options.get("size"), 1),
    share: type === "memory-backend-shm" ||
      (share === undefined ? type === "memory-backend-memfd" : isOn(share)),
    path: options.get("mem-path"),
    fileOffset: readSize(options.get("offset"), 1) ?? 0,
  }];
}
