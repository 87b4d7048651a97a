/**
 * The memory backends of a running QEMU, found in /proc alone: what the command line defines is looked for among the files that
 * the process has open and mapped shared. A memfd's link does not tell its backend's id: several are told apart by size and order.
 *
 * It opens nothing. An expected lack (RAM that is not shared) is an outcome, with the option that is missing.
 * @module
 */
import { statFd } from "../../ffi/memfd.ts";
import { OPEN, reopen } from "../../ffi/memfd.ts";
import type { BackendOption, QemuMemoryOptions } from "./qemu_command_line.ts";
import { parseQemuCommandLine } from "./qemu_command_line.ts";
import { descriptorsOf, type HostMapping, parseHostMaps, readProc } from "./process_maps.ts";
import { Fault } from "../base/fault.ts";

/** Which kind of file a backend is. */
export type BackendKind = "memfd" | "file" | "hugetlbfs";

/** A shared backend of a running QEMU. */
export interface QemuBackend {
  /** Its id. */
  readonly id: string;
  /** Which kind of file. */
  readonly kind: BackendKind;
  /** How to open it: the process's own descriptor. */
  readonly procPath: string;
  /** Its size. */
  readonly sizeBytes: number;
  /** Where QEMU has it mapped. */
  readonly hostAddress: number;
}

/** What was found about a QEMU's memory. */
export interface QemuMemory {
  /** The process. */
  readonly pid: number;
  /** What its command line says. */
  readonly options: QemuMemoryOptions;
  /** All its mappings. */
  readonly mappings: readonly HostMapping[];
  /** The backends that make up its RAM, in order; or why there are none. */
  readonly ram: { readonly shared: true; readonly backends: readonly QemuBackend[] } | {
    readonly shared: false;
    /** What is missing, with the option to add. */
    readonly detail: string;
  };
}

const REMEDY =
  "start QEMU with -object memory-backend-memfd,id=ram0,size=SIZE,share=on -machine …,memory-backend=ram0";

/**
 * Looks for a QEMU's backends.
 *
 * @param pid the QEMU process
 * @throws {Fault} `no-endpoint` when there is no such process, `refused` when it may not be looked at, `bad-argument` when it is no QEMU
 */
export function findQemuMemory(pid: number): QemuMemory {
  const words = readProc(pid, "cmdline").split("\0");
  if (!/qemu|kvm/.test(words[0]?.split("/").pop() ?? "")) {
    throw new Fault(
      "bad-argument",
      `Cannot read guest RAM of process ${pid}: it is ${words[0] || "a kernel thread"}, not QEMU`,
    );
  }
  const options = parseQemuCommandLine(words);
  const mappings = parseHostMaps(readProc(pid, "maps"));
  const wanted: BackendOption[] = [];
  for (const id of options.ramIds) {
    const backend = options.backends.find((b) => b.id === id);
    if (backend !== undefined) wanted.push(backend);
  }
  const lack = lackOf(wanted);
  if (lack !== undefined) {
    return { pid, options, mappings, ram: { shared: false, detail: `${lack}; ${REMEDY}` } };
  }
  const backends = matchFiles(pid, wanted, mappings);
  return { pid, options, mappings, ram: { shared: true, backends } };
}

function lackOf(wanted: readonly BackendOption[]): string | undefined {
  if (wanted.length === 0) return "its RAM has no memory backend";
  const single = wanted.find((b) => !b.share || b.type === "memory-backend-ram");
  return single === undefined ? undefined : `its memory backend ${single.id} is not shared`;
}

/** Finds each backend's file among the open ones: sizes must agree, order decides between equals. */
function matchFiles(
  pid: number,
  wanted: readonly BackendOption[],
  mappings: readonly HostMapping[],
): QemuBackend[] {
  const open = openFiles(pid, mappings);
  const used = new Set<number>();
  return wanted.map((backend) => {
    const fits = open.filter((file) =>
      !used.has(file.inode) && (backend.sizeBytes === undefined || file.sizeBytes >= backend.sizeBytes) &&
      (file.kind === "memfd") ===
        (backend.type === "memory-backend-memfd" || file.target.startsWith("/memfd:"))
    );
    const named = fits.find((file) => backend.path !== undefined && file.target === backend.path);
    const file = named ?? fits.find((f) => f.sizeBytes === backend.sizeBytes) ?? fits[0];
    if (file === undefined) {
      throw new Fault(
        "refused",
        `Cannot find the file of memory backend ${backend.id} of QEMU ${pid}: it has none of that size open`,
      );
    }
    used.add(file.inode);
    return {
      id: backend.id,
      kind: file.kind,
      procPath: `/proc/${pid}/fd/${file.fd}`,
      sizeBytes: backend.sizeBytes ?? file.sizeBytes,
      hostAddress: file.hostAddress,
    };
  });
}

/** A file that is open and mapped shared. */
interface OpenFile {
  readonly fd: number;
  readonly target: string;
  readonly kind: BackendKind;
  readonly inode: number;
  readonly sizeBytes: number;
  readonly hostAddress: number;
}

function openFiles(pid: number, mappings: readonly HostMapping[]): OpenFile[] {
  const shared = mappings.filter((m) => m.shared && m.inode !== 0);
  const out: OpenFile[] = [];
  for (const { fd, target } of descriptorsOf(pid)) {
    if (!target.startsWith("/")) continue;
    const mapping = shared.find((m) => m.path === target);
    if (mapping === undefined || out.some((file) => file.inode === mapping.inode)) continue;
    using file = reopen(`/proc/${pid}/fd/${fd}`, OPEN.READ_ONLY);
    const status = statFd(file.fd);
    const own = shared.find((m) => m.inode === status.ino && m.offset === 0);
    if (!status.isRegular || own === undefined || out.some((f) => f.inode === status.ino)) continue;
    out.push({
      fd,
      target,
      kind: kindOf(pid, target),
      inode: status.ino,
      sizeBytes: status.sizeBytes,
      hostAddress: own.start,
    });
  }
  return out;
}

/** A file below a hugetlbfs mount has huge pages, which neither tell their holes nor map in small pieces. */
function kindOf(pid: number, target: string): BackendKind {
  for (const line of readProc(pid, "mounts").split("\n")) {
    const [, folder, type] = line.split(" ");
    if (type === "hugetlbfs" && folder !== undefined && target.startsWith(`${folder}/`)) return "hugetlbfs";
  }
  if (/^\/memfd:.*hugepages|^\/anon_hugepage/.test(target)) return "hugetlbfs";
  return target.startsWith("/memfd:") ? "memfd" : "file";
}
