/**
 * The RAM of a running QEMU, opened read-only by its pid.
 *
 * With a shared backend it is mapped, and its files can be handed on; without one it is read through the process. The layout comes from
 * the flat view when the caller has one (QMP), else from the machine's rule.
 * @module
 */
import { ERRNO, OsError } from "../../ffi/os_error.ts";
import { OPEN, reopen } from "../../ffi/memfd.ts";
import { openAll, type OwnedFd } from "../../ffi/owned_fd.ts";
import { Fault } from "../base/fault.ts";
import { PhysicalMemory } from "../guest/physical_memory.ts";
import { parseFlatView } from "./flat_view.ts";
import { lowRamBytes, machineFamily } from "./machine_rule.ts";
import { type FilePresence, MappedRam, type RamFile } from "./mapped_ram.ts";
import { Pagemap } from "./pagemap.ts";
import { ProcessRam } from "./process_ram.ts";
import { type BackendKind, findQemuMemory, type QemuBackend, type QemuMemory } from "./qemu_backends.ts";
import { type BackendSize, type RamPiece, splitLayout } from "./ram_layout.ts";

/** How a QEMU's RAM is reached. */
export type RamAccess = BackendKind | "process";

/** What a caller knows. */
export interface OpenQemuOptions {
  /** The text of `info mtree -f`. */
  readonly flatView?: string | undefined;
  /** Host address of the RAM block (gpa2hva of GPA 0), for RAM without a shared backend. */
  readonly hostAddress?: number | undefined;
}

/** A QEMU's RAM, open. Owns everything; ends with its disposal. */
export interface QemuRam extends Disposable {
  /** The guest's memory. */
  readonly memory: PhysicalMemory;
  /** How it is reached. */
  readonly access: RamAccess;
  /** The shared backends, in the order of {@linkcode RamPiece.backend}; empty without. */
  readonly backends: readonly QemuBackend[];
  /** Their read-only descriptors, in that order: borrowed; duplicate one to hand it on. */
  readonly fds: readonly number[];
  /** Where RAM lies: the contract's memsegs. */
  readonly pieces: readonly RamPiece[];
  /** Bytes of RAM in all. */
  readonly ramBytes: number;
  /** Bytes of it below the hole. */
  readonly lowBytes: number;
  /** Where the layout comes from. */
  readonly layoutFrom: "flat-view" | "machine-rule";
}

/**
 * Opens a QEMU's RAM.
 *
 * @param pid the QEMU process
 * @param options what the caller knows
 * @throws {Fault} `no-endpoint`, `bad-argument` (no QEMU), `refused` (may not be opened, or does not fit), `not-supported` (a
 *   machine whose rule is not known and no flat view; RAM that cannot be told apart)
 */
export function openQemuRam(pid: number, options: OpenQemuOptions = {}): QemuRam {
  const found = findQemuMemory(pid);
  if (!found.ram.shared) return openThroughProcess(found, options);
  const { backends } = found.ram;
  const pieces = layoutOf(found, backends, options.flatView);
  const ram = new MappedRam(`RAM of QEMU ${pid}`, openFiles(pid, backends), pieces);
  return wrap(ram, pieces, options, {
    access: accessOf(backends),
    backends,
    fds: ram.files.map((file) => file.fd.fd),
  });
}

/** The shared RAM of a running QEMU: its files, open but not mapped. */
export interface QemuFiles {
  /** How it is reached. */
  readonly access: BackendKind;
  /** The backends, in the order of {@linkcode RamPiece.backend}. */
  readonly backends: readonly QemuBackend[];
  /** Their files, read-only, in that order; owned by the caller. */
  readonly files: readonly OwnedFd[];
  /** Where their parts lie. */
  readonly pieces: readonly RamPiece[];
}

/**
 * Opens the files of a QEMU's shared RAM.
 *
 * @param pid the QEMU process
 * @param flatView the text of `info mtree -f`
 * @throws {Fault} as {@linkcode openQemuRam}; `not-supported` when it is not shared
 */
export function openQemuFiles(pid: number, flatView: string): QemuFiles {
  const { ram } = findQemuMemory(pid);
  if (!ram.shared) throw new Fault("not-supported", `Cannot share the RAM of QEMU ${pid}: ${ram.detail}`);
  const { backends } = ram;
  const pieces = parseFlatView(flatView, backends);
  const files = openAll(backends, ({ procPath }) => openReadOnly(pid, procPath));
  return { access: accessOf(backends), backends, files, pieces };
}

function accessOf(backends: readonly QemuBackend[]): BackendKind {
  const kinds = new Set(backends.map((backend) => backend.kind));
  return kinds.has("hugetlbfs") ? "hugetlbfs" : kinds.has("file") ? "file" : "memfd";
}

function wrap(
  port: MappedRam | ProcessRam,
  pieces: readonly RamPiece[],
  options: OpenQemuOptions,
  rest: Pick<QemuRam, "access" | "backends" | "fds">,
): QemuRam {
  const memory = new PhysicalMemory(port);
  let lowBytes = 0;
  for (const piece of pieces) if (piece.gpa < 2 ** 32) lowBytes = piece.gpa + piece.sizeBytes;
  return {
    ...rest,
    memory,
    pieces,
    lowBytes,
    // The video hole below 1 MiB has RAM behind it, which the guest does not see.
    ramBytes: pieces.reduce((sum, piece) => Math.max(sum, piece.fileOffset + piece.sizeBytes), 0),
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
  const { machine, maxBelow } = found.options;
  const family = machineFamily(machine);
  if (family === undefined) {
    throw new Fault(
      "not-supported",
      `Cannot tell where machine type ${machine} has its RAM: give the daemon its QMP socket`,
    );
  }
  const ramBytes = backends.reduce((sum, backend) => sum + backend.sizeBytes, 0);
  return splitLayout(backends, lowRamBytes(family, ramBytes, maxBelow));
}

function openFiles(pid: number, backends: readonly QemuBackend[]): RamFile[] {
  const files: RamFile[] = [];
  try {
    for (const { procPath, sizeBytes, kind, hostAddress } of backends) {
      const fd = openReadOnly(pid, procPath);
      files.push({ fd, sizeBytes, huge: kind === "hugetlbfs" });
      if (kind === "hugetlbfs") {
        files[files.length - 1] = { fd, sizeBytes, huge: true, presence: presenceOf(pid, hostAddress) };
      }
    }
  } catch (error) {
    for (const { fd } of files) fd.close();
    throw error;
  }
  return files;
}

function openReadOnly(pid: number, path: string): OwnedFd {
  try {
    return reopen(path, OPEN.READ_ONLY);
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    if (error.errno === ERRNO.ENOENT) {
      throw new Fault("no-endpoint", `Cannot open the RAM of QEMU ${pid}: it has ended`, { cause: error });
    }
    throw new Fault(
      "refused",
      `Cannot open the RAM of QEMU ${pid}: ${error.errnoName}; run as QEMU's user, or as root`,
      { cause: error },
    );
  }
}

/** Presence by file offset, asked of the mapping that QEMU has. */
function presenceOf(pid: number, hostAddress: number): FilePresence {
  const pagemap = new Pagemap(pid);
  return {
    next: (from, end, wanted) => pagemap.next(hostAddress + from, hostAddress + end, wanted) - hostAddress,
    [Symbol.dispose]: () => pagemap[Symbol.dispose](),
  };
}

function openThroughProcess(found: QemuMemory, options: OpenQemuOptions): QemuRam {
  const { ramBytes, ramIds } = found.options;
  // A private backend gives the block its id; RAM without a backend has the machine's own name.
  const blocks = ramIds.length > 0 ? ramIds : ["pc.ram"];
  if (blocks.length > 1) {
    throw new Fault(
      "not-supported",
      `Cannot read the RAM of QEMU ${found.pid} through the process: it has ${blocks.length} backends that are not shared`,
    );
  }
  const block = { id: blocks[0] as string, sizeBytes: ramBytes };
  const hostAddress = options.hostAddress ?? soleMapping(found, ramBytes);
  const pieces = layoutOf(found, [block], options.flatView);
  const port = new ProcessRam(found.pid, hostAddress, pieces);
  return wrap(port, pieces, options, { access: "process", backends: [], fds: [] });
}

/** QEMU maps a RAM block by itself, between guard pages: its size tells it, if only one has that size. */
function soleMapping(found: QemuMemory, sizeBytes: number): number {
  const fits = found.mappings.filter((m) =>
    m.writable && m.sizeBytes === sizeBytes && m.offset === 0 && !m.path.startsWith("[")
  );
  const [only] = fits;
  if (only === undefined || fits.length > 1) {
    throw new Fault(
      "not-supported",
      `Cannot tell which memory of QEMU ${found.pid} is its guest's RAM (${fits.length} mappings have its size): ` +
        (found.ram.shared ? "give the daemon its QMP socket" : found.ram.detail),
    );
  }
  return only.start;
}
