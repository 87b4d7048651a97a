/**
 * What a QEMU's command line says about its memory: machine type, size, backends, and which of them are its
 * RAM, in order. It believes the words; what the process really has mapped is for `src/ram` to find out.
 * @module
 */
import { managerOf, type VmManager } from "./vm_manager.ts";
import { type CommandLine, isOn, type Properties, readSize } from "./command_line.ts";

const MIB = 2 ** 20;
const DEFAULT_RAM_BYTES = 128 * MIB;

/** A memory backend as the command line defines it. */
export interface BackendOption {
  /**
   * Which kind of object: "memory-backend-memfd", "memory-backend-file", "memory-backend-ram",
   * "memory-backend-shm".
   */
  readonly type: string;
  /** Its id. */
  readonly id: string;
  /** Its size; undefined when it is not said. */
  readonly sizeBytes: number | undefined;
  /**
   * Whether it is shared; a memfd is unless told otherwise, POSIX shared memory always. With whom a
   * memory-backend-ram is shared, {@linkcode asMapped} tells.
   */
  readonly share: boolean;
  /** `mem-path`, for a file. */
  readonly path: string | undefined;
  /** `offset`, where in that file it begins (QEMU 8.1 and later); 0 unless told. */
  readonly fileOffset: number;
}

/** A device that is more RAM: a DIMM, a virtio-mem. */
export interface MemoryDeviceOption {
  /** Its backend's id. */
  readonly backend: string;
  /** Its guest-physical address, when one is named; QEMU chooses otherwise. */
  readonly address: number | undefined;
}

/** What was found. */
export interface MemoryOptions {
  /** The machine type; "" when none is named. */
  readonly machine: string;
  /** Size of RAM; 128 MiB when none is named. */
  readonly ramBytes: number;
  /** `max-ram-below-4g`. */
  readonly maxBelow: number | undefined;
  /** All backends, in the order in which they are given. */
  readonly backends: readonly BackendOption[];
  /**
   * Ids of those that are the machine's RAM, in the order in which they make it up; empty when it has no
   * backend.
   */
  readonly ramIds: readonly string[];
  /** Whether RAM is made up of NUMA nodes' backends: then a machine takes no `memory-backend`. */
  readonly isNuma: boolean;
  /** Whether `-mem-path` is given, beside which a machine takes no `memory-backend` either. */
  readonly hasMemPath: boolean;
  /** Memory devices, in the order in which they are given. */
  readonly devices: readonly MemoryDeviceOption[];
  /** Who has started it: advice is given in its form. */
  readonly manager: VmManager;
}

/** Reads what is said about memory. */
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

/** A mapping of shared memory that no file stands behind, in /proc/PID/maps. */
const ANONYMOUS = /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) rw.s \S+ \S+ \d+ +\/dev\/zero \(deleted\)$/gm;

/**
 * The same as the process has it: a `memory-backend-ram` with share=on is a memfd since QEMU 10.0; before, it
 * is anonymous memory, which its own children alone can share. Its mappings tell which.
 *
 * @param options what the command line says
 * @param maps the text of its /proc/PID/maps; "" when it may not be read, and then the words are believed
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

/** Whether only the process's mappings tell whether another process can share a backend. */
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

/** RAM is made up of the nodes by their numbers; one that names none gets the number of nodes so far. */
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
