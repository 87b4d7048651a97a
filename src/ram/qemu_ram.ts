/**
 * The RAM of a running QEMU, opened read-only by its pid.
 *
 * With a shared backend it is mapped, and its files can be passed on; without one it is read through the
 * process. The layout comes from the flat view if the caller has one (QMP), otherwise from the machine's
 * rule.
 * @module
 */
import { OPEN } from "../../ffi/memfd.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { Fault } from "../base/fault.ts";
import { PhysicalMemory } from "../guest/physical_memory.ts";
import { parseFlatView } from "./flat_view.ts";
import { HostProcess } from "./host_process.ts";
import {
  ARM_VIRT_BASE,
  deviceMemoryBase,
  isArmVirt,
  lowRamBytes,
  type MachineFamily,
  machineFamily,
} from "./machine_rule.ts";
import { type FilePresence, MappedRam, type RamFile } from "./mapped_ram.ts";
import { Pagemap } from "./pagemap.ts";
import { ProcessRam } from "./process_ram.ts";
import type { ToldMemory } from "./told_memory.ts";
import { type BackendKind, findQemuMemory, type QemuBackend, type QemuMemory } from "./qemu_backends.ts";
import { type BackendSize, checkedLayout, type RamPiece, runLayout, splitLayout } from "./ram_layout.ts";

/** How a QEMU's RAM is accessed. */
export type RamAccess = BackendKind | "process";

/** What the caller knows. */
export interface OpenQemuOptions {
  /** The text of `info mtree -f`. */
  readonly flatView?: string | undefined;
  /** Host address of the RAM block (gpa2hva of GPA 0), for RAM without a shared backend. */
  readonly hostAddress?: number | undefined;
  /** Without a monitor: the index of the assignment of files to use ({@linkcode QemuRam.choices}). */
  readonly choice?: number | undefined;
}

/** A QEMU's RAM, open. Owns everything; closed by its disposal. */
export interface QemuRam extends Disposable {
  /** The guest's memory. */
  readonly memory: PhysicalMemory;
  /** How it is accessed. */
  readonly access: RamAccess;
  /** The shared backends, in the order of {@linkcode RamPiece.backend}; empty if there are none. */
  readonly backends: readonly QemuBackend[];
  /** Their read-only descriptors, in that order: borrowed; duplicate one to pass it on. */
  readonly fds: readonly number[];
  /** The layout of RAM: the protocol's memsegs. */
  readonly pieces: readonly RamPiece[];
  /** Size of RAM, bytes. */
  readonly ramBytes: number;
  /** Size of RAM below the hole, bytes. */
  readonly lowBytes: number;
  /** The origin of the layout. */
  readonly layoutFrom: "flat-view" | "machine-rule";
  /** Number of consistent assignments of files; 1 if the right one is known. */
  readonly choices: number;
  /** Ids of backends that are more RAM and could not be opened. */
  readonly missing: readonly string[];
}

/**
 * Opens a QEMU's RAM.
 *
 * @param pid the QEMU process
 * @param options what the caller knows
 * @throws {Fault} `no-endpoint`, `bad-argument` (not a QEMU), `refused` (may not be opened, or inconsistent),
 *   `not-supported` (a machine without a known rule and without a flat view; RAM that cannot be identified)
 */
export function openQemuRam(pid: number, options: OpenQemuOptions = {}): QemuRam {
  using process = HostProcess.open(pid);
  const found = findQemuMemory(process, { choice: options.choice });
  if (!found.ram.shared) return openThroughProcess(process, options);
  const { backends, files: fds, choices, missing } = found.ram;
  let pieces: RamPiece[];
  let files: RamFile[];
  try {
    pieces = inFiles(layoutOf(found, backends, options.flatView), backends);
    files = ramFiles(process, backends, fds);
  } catch (error) {
    for (const fd of fds) fd.close();
    throw error;
  }
  const ram = new MappedRam(`RAM of QEMU ${pid}`, files, pieces);
  return wrap(ram, pieces, options, {
    access: accessOf(backends),
    backends,
    fds: ram.files.map((file) => file.fd.fd),
    choices,
    missing,
  });
}

/** The shared RAM of a running QEMU: its files, open but not mapped. */
export interface QemuFiles {
  /** How it is accessed. */
  readonly access: BackendKind;
  /** The backends, in the order of {@linkcode RamPiece.backend}. */
  readonly backends: readonly QemuBackend[];
  /** Their files, read-only, in that order; owned by the caller. */
  readonly files: readonly OwnedFd[];
  /** Where their parts are in the guest. */
  readonly pieces: readonly RamPiece[];
  /** Ids of backends that are more RAM and are not included. */
  readonly missing: readonly string[];
}

/**
 * Opens the files of a QEMU's shared RAM.
 *
 * @param process the QEMU process
 * @param told what its monitor reported
 * @param monitorUid the uid that made its monitor listen (see file_owner.ts)
 * @returns pieces with offsets from the start of each backend, not of its file
 * @throws {Fault} as {@linkcode openQemuRam}; `not-supported` when it is not shared
 */
export function openQemuFiles(process: HostProcess, told: ToldMemory, monitorUid: number): QemuFiles {
  const { ram } = findQemuMemory(process, { monitorUid, told });
  if (!ram.shared) {
    throw new Fault("not-supported", `Cannot share the RAM of QEMU ${process.pid}: ${ram.detail}`);
  }
  const { backends, files, missing } = ram;
  try {
    return {
      access: accessOf(backends),
      backends,
      files,
      missing,
      pieces: parseFlatView(told.flatView, backends),
    };
  } catch (error) {
    for (const fd of files) fd.close();
    throw error;
  }
}

/** Converts offsets from the start of a backend to offsets in its file. */
export function inFiles(
  pieces: readonly RamPiece[],
  backends: readonly Pick<QemuBackend, "fileOffset">[],
): RamPiece[] {
  return pieces.map((piece) => ({
    ...piece,
    fileOffset: piece.fileOffset + (backends[piece.backend]?.fileOffset ?? 0),
  }));
}

function accessOf(backends: readonly QemuBackend[]): BackendKind {
  const kinds = new Set(backends.map((backend) => backend.kind));
  return kinds.has("hugetlbfs") ? "hugetlbfs" : kinds.has("file") ? "file" : "memfd";
}

function wrap(
  port: MappedRam | ProcessRam,
  pieces: readonly RamPiece[],
  options: OpenQemuOptions,
  rest: Pick<QemuRam, "access" | "backends" | "fds" | "choices" | "missing">,
): QemuRam {
  const memory = new PhysicalMemory(port);
  let lowBytes = 0;
  for (const piece of pieces) if (piece.gpa < 2 ** 32) lowBytes = piece.gpa + piece.sizeBytes;
  return {
    ...rest,
    memory,
    pieces,
    lowBytes,
    // There is RAM behind the video hole below 1 MiB, which the guest does not see.
    ramBytes: rest.backends.length === 0
      ? pieces.reduce((sum, piece) => Math.max(sum, piece.fileOffset + piece.sizeBytes), 0)
      : rest.backends.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    layoutFrom: options.flatView === undefined ? "machine-rule" : "flat-view",
    [Symbol.dispose]: () => memory[Symbol.dispose](),
  };
}

function layoutOf(
  found: QemuMemory,
  backends: readonly BackendSize[],
  flatView: string | undefined,
): RamPiece[] {
  if (flatView !== undefined) return parseFlatView(flatView, backends);
  const { machine, program, maxBelow } = found.options;
  const isArm = isArmVirt(machine, program);
  const family = machineFamily(machine);
  if (family === undefined && !isArm) {
    throw new Fault(
      "not-supported",
      `Cannot tell where machine type ${machine} has its RAM: give the daemon its QMP socket`,
    );
  }
  const { ramIds, devices } = found.options;
  const isBase = ({ id }: BackendSize): boolean => ramIds.length === 0 || ramIds.includes(id);
  const base = backends.filter(isBase);
  const ramBytes = base.reduce((sum, backend) => sum + backend.sizeBytes, 0);
  const { pieces, device } = machineLayout(base, ramBytes, family, maxBelow);
  let next = device;
  for (const { backend: id, address } of devices) {
    const backend = backends.findIndex((each) => each.id === id);
    if (backend < 0 || ramIds.includes(id)) continue;
    const { sizeBytes } = backends[backend] as BackendSize;
    pieces.push({ gpa: address ?? next, fileOffset: 0, sizeBytes, backend });
    if (address === undefined) next += sizeBytes;
  }
  return checkedLayout(pieces, backends);
}

/** Where a machine has its own RAM, and its first memory device; no family: arm64's virt. */
function machineLayout(
  base: readonly BackendSize[],
  ramBytes: number,
  family: MachineFamily | undefined,
  maxBelow: number | undefined,
): { readonly pieces: RamPiece[]; readonly device: number } {
  if (family === undefined) {
    const end = ARM_VIRT_BASE + ramBytes;
    return { pieces: runLayout(base, ARM_VIRT_BASE), device: Math.ceil(end / 2 ** 30) * 2 ** 30 };
  }
  const low = lowRamBytes(family, ramBytes, maxBelow);
  return { pieces: splitLayout(base, low), device: deviceMemoryBase(ramBytes, low) };
}

function ramFiles(
  process: HostProcess,
  backends: readonly QemuBackend[],
  fds: readonly OwnedFd[],
): RamFile[] {
  const presences: FilePresence[] = [];
  try {
    return backends.map((backend, i) => {
      const { kind, fileOffset } = backend;
      const fd = fds[i] as OwnedFd;
      const [sizeBytes, hostAddress] = [fileOffset + backend.sizeBytes, backend.hostAddress - fileOffset];
      if (kind !== "hugetlbfs") return { fd, sizeBytes, huge: false };
      const presence = presenceIn(process, hostAddress);
      presences.push(presence);
      return { fd, sizeBytes, huge: true, presence };
    });
  } catch (error) {
    for (const presence of presences) presence[Symbol.dispose]();
    throw error;
  }
}

/**
 * Which pages are present, by file offset, from the process's mapping of the file.
 *
 * @param process the QEMU
 * @param hostAddress where it has the file mapped
 * @throws {Fault} when it may not be accessed
 */
export function presenceIn(process: HostProcess, hostAddress: number): FilePresence {
  const pagemap = new Pagemap(process);
  return {
    next: (from, end, wanted) => pagemap.next(hostAddress + from, hostAddress + end, wanted) - hostAddress,
    [Symbol.dispose]: () => pagemap[Symbol.dispose](),
  };
}

function openThroughProcess(process: HostProcess, options: OpenQemuOptions): QemuRam {
  // Its memory is opened first, and identified afterwards, so that a set-uid program that it executes in
  // between is recognised as such.
  const memory = process.openFile("mem", OPEN.READ_ONLY);
  try {
    const found = findQemuMemory(process);
    // Checks what has become of it since.
    if (found.ram.shared) {
      for (const file of found.ram.files) file.close();
      throw new Fault(
        "busy",
        `Cannot read the RAM of QEMU ${process.pid}: it is just being started; try again`,
      );
    }
    const { ramBytes, ramIds } = found.options;
    // A private backend gives the block its id; RAM without a backend has the machine's own name.
    const isArm = isArmVirt(found.options.machine, found.options.program);
    const blocks = ramIds.length > 0 ? ramIds : [isArm ? "mach-virt.ram" : "pc.ram"];
    if (blocks.length > 1) {
      throw new Fault(
        "not-supported",
        `Cannot read the RAM of QEMU ${process.pid} through the process: it has ${blocks.length} backends that are not shared`,
      );
    }
    const block = { id: blocks[0] as string, sizeBytes: ramBytes };
    const hostAddress = options.hostAddress ?? soleMapping(found, found.ram.detail, ramBytes);
    const pieces = layoutOf(found, [block], options.flatView);
    const port = new ProcessRam(process, memory, hostAddress, pieces);
    return wrap(port, pieces, options, {
      access: "process",
      backends: [],
      fds: [],
      choices: 1,
      missing: [],
    });
  } catch (error) {
    memory.close();
    throw error;
  }
}

/**
 * QEMU maps a RAM block separately, between guard pages: its size identifies it, if only one mapping has that
 * size.
 */
function soleMapping(found: QemuMemory, lack: string, sizeBytes: number): number {
  const fits = found.mappings.filter((m) =>
    m.writable && m.sizeBytes === sizeBytes && m.offset === 0 && !m.path.startsWith("[")
  );
  const [only] = fits;
  if (only === undefined || fits.length > 1) {
    throw new Fault(
      "not-supported",
      `Cannot tell which memory of QEMU ${found.process.pid} is its guest's RAM (${fits.length} mappings have its size): ${lack}`,
    );
  }
  return only.start;
}
