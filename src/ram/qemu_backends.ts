/**
 * The memory backends of a running QEMU, and their files.
 *
 * - With a monitor that reported the address of each block of RAM (told_memory.ts), maps give the file behind
 *   each block by device, inode and offset: exact.
 * - Without one, the command line's backends are matched by size with the files that the process has mapped
 *   shared; if several assignments fit, assignments.ts lists them as choices to be tried.
 *
 * Each file is marked once and only the right one is opened (ram_file.ts); nothing is changed. If something
 * expected is missing (RAM that is not shared), the outcome names the option that is needed.
 * @module
 */
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { MAX_RAM_CANDIDATES } from "../base/limits.ts";
import { printable } from "../base/printable.ts";
import { asMapped } from "../qemu/memory_options.ts";
import { assignFiles, type Assignments } from "./assignments.ts";
import { fileOwners } from "./file_owner.ts";
import { FilePlaces } from "./file_place.ts";
import { flatBlocks } from "./flat_view.ts";
import type { HostProcess } from "./host_process.ts";
import { fileBehind, type HostMapping, parseHostMaps } from "./process_maps.ts";
import type { BackendOption, QemuMemoryOptions } from "./qemu_command_line.ts";
import { parseQemuCommandLine } from "./qemu_command_line.ts";
import {
  fileName,
  isSealed,
  openCandidate,
  type RamCandidate,
  type RamLook,
  takeRamFile,
} from "./ram_file.ts";
import type { BackendKind } from "./ram_file.ts";
import { remedyFor } from "./ram_remedy.ts";
import type { ToldMemory } from "./told_memory.ts";

export type { BackendKind } from "./ram_file.ts";

/** A shared backend of a running QEMU. */
export interface QemuBackend {
  /** Its id. */
  readonly id: string;
  /** The kind of file. */
  readonly kind: BackendKind;
  /** Whether it is a memfd, whatever its pages. */
  readonly memfd: boolean;
  /** Whether it is a memfd that QEMU has sealed: its size is fixed, and nobody chose its mode. */
  readonly sealed: boolean;
  /** Its size. */
  readonly sizeBytes: number;
  /** Its offset in its file: not 0 only for a memory-backend-file with `offset`. */
  readonly fileOffset: number;
  /** Where it is mapped in QEMU. */
  readonly hostAddress: number;
}

/** What was found about a QEMU's memory. */
export interface QemuMemory {
  /** The process; borrowed. */
  readonly process: HostProcess;
  /** Its memory configuration. */
  readonly options: QemuMemoryOptions;
  /** All its mappings. */
  readonly mappings: readonly HostMapping[];
  /** The backends that form its RAM, in order; or why there are none. */
  readonly ram: {
    readonly shared: true;
    readonly backends: readonly QemuBackend[];
    /** Their files, read-only, in that order; owned by the caller. */
    readonly files: readonly OwnedFd[];
    /** RAM that is not included, for a person: a DIMM that is not shared. */
    readonly missing: readonly string[];
    /** Number of consistent assignments of files; 1 if the right one is known. */
    readonly choices: number;
  } | {
    readonly shared: false;
    /** What is missing, with the option to add. */
    readonly detail: string;
  };
}

/** What is known about a QEMU besides its pid. */
export interface QemuEvidence {
  /** The uid that made its monitor listen; undefined if it was named by its pid (see file_owner.ts). */
  readonly monitorUid?: number | undefined;
  /** What its monitor reported. */
  readonly told?: ToldMemory | undefined;
  /** Otherwise: the index of the assignment of files to use. */
  readonly choice?: number | undefined;
}

/**
 * Finds and opens a QEMU's backends.
 *
 * @param process the QEMU process
 * @throws {Fault} `no-endpoint` when it has ended, `refused` when it may not be accessed or its files are not
 *   its own, `bad-argument` when it is not a QEMU
 */
export function findQemuMemory(process: HostProcess, evidence: QemuEvidence = {}): QemuMemory {
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
  const maps = process.read("maps");
  const options = asMapped(parseQemuCommandLine(words), maps);
  const mappings = parseHostMaps(maps);
  const { monitorUid, told, choice = 0 } = evidence;
  const owners = fileOwners(pid, process.uids(), monitorUid);
  const base = backendsOf(options, options.ramIds);
  const deviceIds = told?.devices ?? options.devices.map((device) => device.backend);
  const devices = backendsOf(options, deviceIds.filter((id) => !options.ramIds.includes(id)));
  const wanted = [...base, ...devices];
  const lack = lackOf(pid, base, wanted.length);
  const bare = { process, options, mappings };
  if (lack !== undefined) return { ...bare, ram: lacking(lack, options) };
  const shared = mappings.filter((m) => m.shared && m.writable && m.inode !== 0);
  const look = { process, owners, places: new FilePlaces(process), mappings: shared };
  if (told !== undefined && told.blocks.length > 0) {
    const behind = filesBehind(mappings, told, wanted);
    const lost = base.find((backend) => !behind.has(backend));
    if (lost !== undefined) {
      return { ...bare, ram: lacking(`its memory backend ${printable(lost.id)} is not shared`, options) };
    }
    return { ...bare, ram: { shared: true, choices: 1, ...takeBehind(look, wanted, behind) } };
  }
  return { ...bare, ram: { shared: true, ...matchFiles(look, options, wanted, choice) } };
}

/** The options of backends; one that is not on the command line was added later through a monitor. */
function backendsOf({ backends }: QemuMemoryOptions, ids: readonly string[]): BackendOption[] {
  return ids.map((id) =>
    backends.find((backend) => backend.id === id) ??
      { type: "", id, sizeBytes: undefined, share: true, path: undefined, fileOffset: 0 }
  );
}

function lacking(
  why: string,
  options: QemuMemoryOptions,
): { readonly shared: false; readonly detail: string } {
  return { shared: false, detail: `${why}; ${remedyFor(options)}` };
}

function lackOf(pid: number, base: readonly BackendOption[], count: number): string | undefined {
  if (count > MAX_RAM_CANDIDATES) {
    throw new Fault("too-large", `Cannot use the RAM of QEMU ${pid}: it has ${count} memory backends`);
  }
  if (base.length === 0) return "its RAM has no memory backend";
  const single = base.find((b) => !b.share);
  return single === undefined ? undefined : `its memory backend ${printable(single.id)} is not shared`;
}

/** A backend's part of a file. */
interface FilePart {
  readonly file: string;
  readonly fileOffset: number;
  readonly sizeBytes: number;
  readonly hostAddress: number;
}

/** The mappings of the blocks whose addresses the monitor reported. */
function filesBehind(
  mappings: readonly HostMapping[],
  { flatView, blocks }: ToldMemory,
  wanted: readonly BackendOption[],
): Map<BackendOption, FilePart> {
  const ends = new Map(flatBlocks(flatView).map(({ name, endOffset }) => [name, endOffset]));
  const parts = new Map<BackendOption, FilePart>();
  for (const backend of wanted) {
    const block = blocks.find(({ name }) => name === backend.id || name === `/objects/${backend.id}`);
    if (block === undefined) continue;
    const sizeBytes = Math.max(backend.sizeBytes ?? 0, ends.get(block.name) ?? 0);
    const behind = fileBehind(mappings, block.hostAddress, sizeBytes);
    if (behind === undefined) continue;
    const { fileOffset, mapping } = behind;
    parts.set(backend, { file: fileName(mapping), fileOffset, sizeBytes, hostAddress: block.hostAddress });
  }
  return parts;
}

type Taken = {
  readonly backends: QemuBackend[];
  readonly files: OwnedFd[];
  readonly missing: string[];
};

/** Opens the files that are known to be right. */
function takeBehind(
  look: RamLook,
  wanted: readonly BackendOption[],
  behind: ReadonlyMap<BackendOption, FilePart>,
): Taken {
  const parts = [...behind.values()];
  const { found, whyNot } = takeFiles(look, (file) => parts.some((part) => part.file === file));
  const out: Taken = { backends: [], files: [], missing: [] };
  try {
    for (const backend of wanted) {
      const part = behind.get(backend);
      const file = found.find((each) => each.file === part?.file);
      if (part !== undefined && file !== undefined && part.fileOffset + part.sizeBytes <= file.sizeBytes) {
        out.files.push(openCandidate(look.process, file));
        out.backends.push(backendOf(backend.id, file, part, out.files.at(-1)?.fd ?? -1));
      } else if (part !== undefined) throw whyNot ?? noFile(look.process.pid, backend.id);
      else out.missing.push(backend.id);
    }
    return out;
  } catch (error) {
    for (const fd of out.files) fd.close();
    throw error;
  } finally {
    for (const { mark } of found) mark.close();
  }
}

function noFile(pid: number, id: string): Fault {
  return new Fault(
    "refused",
    `Cannot find the file of memory backend ${
      printable(id)
    } of QEMU ${pid}: it has none of that size open and mapped`,
  );
}

/** Matches backends with the open files by the command line. */
function matchFiles(
  look: RamLook,
  options: QemuMemoryOptions,
  wanted: readonly BackendOption[],
  choice: number,
): Taken & { readonly choices: number } {
  const { found, whyNot } = takeFiles(look, () => true);
  const files: OwnedFd[] = [];
  try {
    const { choices, lacking: id }: Assignments = assignFiles(options.backends, wanted, found);
    const chosen = choices[choice];
    // The file that was skipped may be the right one.
    if (chosen === undefined) throw whyNot ?? noFile(look.process.pid, id ?? wanted[0]?.id ?? "");
    const missing: string[] = [];
    const backends: QemuBackend[] = [];
    wanted.forEach((backend, i) => {
      const file = chosen[i];
      if (file === undefined) return missing.push(backend.id);
      const fd = openCandidate(look.process, file);
      files.push(fd);
      // One file may contain several backends at different offsets.
      const { offset: fileOffset, start: hostAddress } = look.mappings.find((mapping) =>
        fileName(mapping) === file.file && mapping.offset === backend.fileOffset
      ) ?? file.mapping;
      const sizeBytes = backend.sizeBytes ?? file.sizeBytes - fileOffset;
      backends.push(backendOf(backend.id, file, { fileOffset, sizeBytes, hostAddress }, fd.fd));
    });
    return { backends, files, missing, choices: choices.length };
  } catch (error) {
    for (const fd of files) fd.close();
    throw error;
  } finally {
    for (const { mark } of found) mark.close();
  }
}

function backendOf(
  id: string,
  { kind, memfd }: RamCandidate,
  { fileOffset, sizeBytes, hostAddress }: Omit<FilePart, "file">,
  fd: number,
): QemuBackend {
  return { id, kind, memfd, sealed: memfd && isSealed(fd), sizeBytes, fileOffset, hostAddress };
}

/** The files that may be RAM, by descriptor number, and why the first of those that look like RAM is not. */
function takeFiles(
  look: RamLook,
  isWanted: (file: string) => boolean,
): { readonly found: readonly RamCandidate[]; readonly whyNot: Fault | undefined } {
  // The link's text is only used to skip what cannot be RAM: sockets, devices, disks.
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
  const isKnown = (file: string): boolean => !isWanted(file) || known.size === known.add(file).size;
  const found: RamCandidate[] = [];
  let whyNot: Fault | undefined;
  for (const each of listed) {
    try {
      const file = takeRamFile(look, each, isKnown);
      if (file !== undefined) found.push(file);
    } catch (error) {
      // A device, or somebody else's file: QEMU maps those as well, and they are not its RAM.
      whyNot ??= error instanceof Fault ? error : new Fault("refused", messageOf(error), { cause: error });
    }
  }
  return { found, whyNot };
}
