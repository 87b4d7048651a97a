/**
 * The memory backends of a running QEMU, found in /proc alone: what the command line defines is looked for
 * among the files that the process has open and mapped shared. A memfd's link does not tell its backend's id:
 * several are told apart by size and order.
 *
 * Each file is taken once and opened for reading (ram_file.ts); nothing of it is changed. An expected lack
 * (RAM that is not shared) is an outcome, with the option that is missing.
 * @module
 */
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { MAX_RAM_CANDIDATES } from "../base/limits.ts";
import { printable } from "../base/printable.ts";
import { fileOwners } from "./file_owner.ts";
import { FilePlaces } from "./file_place.ts";
import type { HostProcess } from "./host_process.ts";
import { type HostMapping, parseHostMaps } from "./process_maps.ts";
import type { BackendOption, QemuMemoryOptions } from "./qemu_command_line.ts";
import { parseQemuCommandLine } from "./qemu_command_line.ts";
import { type BackendKind, isSealed, type RamCandidate, type RamLook, takeRamFile } from "./ram_file.ts";

export type { BackendKind } from "./ram_file.ts";

/** A shared backend of a running QEMU. */
export interface QemuBackend {
  /** Its id. */
  readonly id: string;
  /** Which kind of file. */
  readonly kind: BackendKind;
  /** Whether it is a memfd, whatever its pages. */
  readonly memfd: boolean;
  /** Whether it is a memfd that QEMU has sealed: its size stays, and its mode is nobody's wish. */
  readonly sealed: boolean;
  /** Its size. */
  readonly sizeBytes: number;
  /** Where QEMU has it mapped. */
  readonly hostAddress: number;
}

/** What was found about a QEMU's memory. */
export interface QemuMemory {
  /** The process; borrowed. */
  readonly process: HostProcess;
  /** What its command line says. */
  readonly options: QemuMemoryOptions;
  /** All its mappings. */
  readonly mappings: readonly HostMapping[];
  /** The backends that make up its RAM, in order; or why there are none. */
  readonly ram: {
    readonly shared: true;
    readonly backends: readonly QemuBackend[];
    /** Their files, read-only, in that order; owned by the caller. */
    readonly files: readonly OwnedFd[];
  } | {
    readonly shared: false;
    /** What is missing, with the option to add. */
    readonly detail: string;
  };
}

const REMEDY =
  "start QEMU with -object memory-backend-memfd,id=ram0,size=SIZE,share=on -machine …,memory-backend=ram0";

/**
 * Looks for a QEMU's backends, and opens them.
 *
 * @param process the QEMU process
 * @param monitorUid who made its monitor listen; undefined when it was named by its number (see
 *   file_owner.ts)
 * @throws {Fault} `no-endpoint` when it has ended, `refused` when it may not be looked at or its files are
 *   not its own, `bad-argument` when it is not a QEMU
 */
export function findQemuMemory(process: HostProcess, monitorUid?: number): QemuMemory {
  const { pid } = process;
  const words = process.read("cmdline").split("\0");
  if (!/qemu|kvm/.test(words[0]?.split("/").pop() ?? "")) {
    throw new Fault(
      "bad-argument",
      `Cannot read guest RAM of process ${pid}: it is ${
        printable(words[0] ?? "") || "a kernel thread"
      }, not QEMU`,
    );
  }
  const options = parseQemuCommandLine(words);
  const mappings = parseHostMaps(process.read("maps"));
  const byId = new Map(options.backends.map((backend) => [backend.id, backend]));
  const wanted: BackendOption[] = [];
  for (const id of options.ramIds) {
    const backend = byId.get(id);
    if (backend !== undefined) wanted.push(backend);
  }
  const owners = fileOwners(pid, process.uids(), monitorUid);
  const lack = lackOf(pid, wanted);
  if (lack !== undefined) {
    return { process, options, mappings, ram: { shared: false, detail: `${lack}; ${REMEDY}` } };
  }
  const shared = mappings.filter((m) => m.shared && m.writable && m.inode !== 0);
  const look = { process, owners, places: new FilePlaces(process), mappings: shared };
  return { process, options, mappings, ram: { shared: true, ...matchFiles(look, wanted) } };
}

function lackOf(pid: number, wanted: readonly BackendOption[]): string | undefined {
  if (wanted.length > MAX_RAM_CANDIDATES) {
    throw new Fault(
      "too-large",
      `Cannot use the RAM of QEMU ${pid}: it has ${wanted.length} memory backends`,
    );
  }
  if (wanted.length === 0) return "its RAM has no memory backend";
  const single = wanted.find((b) => !b.share || b.type === "memory-backend-ram");
  return single === undefined ? undefined : `its memory backend ${printable(single.id)} is not shared`;
}

/** Finds each backend's file among the open ones: sizes must agree, order decides between equals. */
function matchFiles(
  look: RamLook,
  wanted: readonly BackendOption[],
): { readonly backends: QemuBackend[]; readonly files: OwnedFd[] } {
  const { found, whyNot } = takeFiles(look);
  const open = new Set(found);
  const files: OwnedFd[] = [];
  try {
    const backends = wanted.map((backend) => {
      const file = fileOf(backend, [...open]);
      if (file === undefined) {
        // What was passed by may be the very one.
        throw whyNot ?? new Fault(
          "refused",
          `Cannot find the file of memory backend ${
            printable(backend.id)
          } of QEMU ${look.process.pid}: it has none of that size open and mapped`,
        );
      }
      open.delete(file);
      files.push(file.fd);
      return backendOf(backend, file);
    });
    return { backends, files };
  } catch (error) {
    for (const fd of files) fd.close();
    throw error;
  } finally {
    for (const { fd } of open) fd.close();
  }
}

function fileOf(backend: BackendOption, open: readonly RamCandidate[]): RamCandidate | undefined {
  const fits = open.filter((file) =>
    (backend.sizeBytes === undefined || file.sizeBytes >= backend.sizeBytes) &&
    (file.memfd || backend.type !== "memory-backend-memfd")
  );
  const named = fits.find((file) => backend.path !== undefined && file.target === backend.path);
  return named ?? fits.find((file) => file.sizeBytes === backend.sizeBytes) ?? fits[0];
}

function backendOf({ id, sizeBytes }: BackendOption, file: RamCandidate): QemuBackend {
  const { kind, memfd, hostAddress } = file;
  const sealed = memfd && isSealed(file.fd.fd);
  return { id, kind, memfd, sealed, sizeBytes: sizeBytes ?? file.sizeBytes, hostAddress };
}

/** The files that may be RAM, by descriptor number, and why the first of those that look like it is none. */
function takeFiles(
  look: RamLook,
): { readonly found: readonly RamCandidate[]; readonly whyNot: Fault | undefined } {
  // The name in the table only spares looks at what cannot be RAM: sockets, devices, disks.
  const names = new Set(look.mappings.map(({ path }) => path));
  const listed = look.process.descriptors().filter(({ target }) =>
    target.startsWith("/") && names.has(target)
  );
  if (listed.length > MAX_RAM_CANDIDATES) {
    throw new Fault(
      "too-large",
      `Cannot use the RAM of QEMU ${look.process.pid}: ${listed.length} of its open files could be RAM`,
    );
  }
  const known = new Set<string>();
  const isKnown = (file: string): boolean => known.size === known.add(file).size;
  const found: RamCandidate[] = [];
  let whyNot: Fault | undefined;
  for (const each of listed) {
    try {
      const file = takeRamFile(look, each, isKnown);
      if (file !== undefined) found.push(file);
    } catch (error) {
      // A device, a file of somebody else's: QEMU maps such things, too, and they are not its RAM.
      whyNot ??= error instanceof Fault ? error : new Fault("refused", messageOf(error), { cause: error });
    }
  }
  return { found, whyNot };
}
