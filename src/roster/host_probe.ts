/**
 * The host probe: which QEMUs run here, what each offers and what it lacks to be attached, with the exact option to add. It reads /proc and nothing else: it never connects to a monitor to see
 * whether it is free, because a connection that is dropped again disturbs whoever comes next; the kernel's table of unix sockets tells who is connected.
 * @module
 */
import { MAX_NAME_BYTES } from "../base/limits.ts";
import { type QemuSetup, readQemuCommandLine } from "./qemu_command_line.ts";

/** One running QEMU. */
export interface ProbedVm {
  /** Its process. */
  readonly pid: number;
  /** The user that runs it. */
  readonly uid: number;
  /** Its -name, or `qemu-PID`. */
  readonly name: string;
  /** A QMP socket of its own that nobody is connected to; "" when there is none. */
  readonly qmp: string;
  /** All its QMP sockets, and whether somebody is connected. */
  readonly monitors: readonly { readonly path: string; readonly busy: boolean }[];
  /** What backs its RAM: "memfd", "file", … that can be shared, "private", or "file (private)". */
  readonly memory: string;
  /** Its RAM. */
  readonly ramBytes: number;
  /** Its keyboards and pointers. */
  readonly input: readonly string[];
  /** The display device and what shows it: "std/none". */
  readonly display: string;
  /** Whether the daemon can attach it: there is a free monitor. */
  readonly attachable: boolean;
  /** Options of QEMU that would give what is missing, each as it is to be typed. */
  readonly missing: readonly string[];
}

/** Reads of the system, injected for tests. */
export interface HostView {
  /** Numbers of all processes. */
  pids(): number[];
  /** Where /proc/PID/exe points; "" when it may not be read or the process is gone. */
  exe(pid: number): string;
  /** The arguments of a process; empty when they cannot be read. */
  args(pid: number): string[];
  /** Its user; -1 unknown. */
  uid(pid: number): number;
  /** Its working directory, for relative paths; "" unknown. */
  cwd(pid: number): string;
  /** /proc/net/unix. */
  unixSockets(): string;
}

/** What of a QEMU stays the same for as long as it runs. */
export interface QemuProcess {
  /** Its process. */
  readonly pid: number;
  /** The user that runs it. */
  readonly uid: number;
  /** Its working directory, for relative paths; "" unknown. */
  readonly cwd: string;
  /** What its command line says. */
  readonly setup: QemuSetup;
}

/** Every running QEMU system emulator, by pid. */
export function probeHost(view: HostView): ProbedVm[] {
  const busy = connectedPaths(view.unixSockets());
  const found: ProbedVm[] = [];
  for (const pid of view.pids()) {
    const process = readProcess(view, pid);
    if (process !== undefined) found.push(describeVm(process, busy));
  }
  return found.sort((a, b) => a.pid - b.pid);
}

/** A process as a QEMU system emulator; undefined when it is none. */
export function readProcess(view: HostView, pid: number): QemuProcess | undefined {
  const program = view.exe(pid).split("/").at(-1) ?? "";
  const args = view.args(pid);
  const named = program !== "" ? program : (args[0] ?? "").split("/").at(-1) ?? "";
  if (!/^(qemu-system-|qemu-kvm|kvm$)/.test(named.replace(/ \(deleted\)$/, ""))) return undefined;
  return { pid, uid: view.uid(pid), cwd: view.cwd(pid), setup: readQemuCommandLine(args.slice(1)) };
}

/**
 * A QEMU as it stands now.
 *
 * @param busy paths at which somebody is connected, from {@linkcode connectedPaths}
 */
export function describeVm({ pid, uid, cwd, setup }: QemuProcess, busy: ReadonlySet<string>): ProbedVm {
  const monitors = setup.qmp.filter((offer) => offer.listens).map(({ path }) => {
    const absolute = path.startsWith("/") ? path : `${cwd}/${path}`;
    // The kernel's table has the path as it was bound.
    return { path: absolute, busy: busy.has(path) || busy.has(absolute) };
  });
  const free = monitors.find((monitor) => !monitor.busy)?.path ?? "";
  const { memory } = setup;
  return {
    pid,
    uid,
    name: cleanName(setup.name, pid),
    qmp: free,
    monitors,
    memory: memory.shared || memory.backend === "private" ? memory.backend : `${memory.backend} (private)`,
    ramBytes: setup.ramBytes,
    input: [...setup.keyboards, ...setup.pointers],
    display: setup.display,
    attachable: free !== "",
    missing: missingOf(pid, setup, free !== ""),
  };
}

function missingOf(pid: number, setup: QemuSetup, hasMonitor: boolean): string[] {
  const missing: string[] = [];
  const name = cleanName(setup.name, pid);
  if (!hasMonitor) missing.push(`-qmp unix:/run/vmsig/${name}.qmp,server=on,wait=off`);
  if (!setup.memory.shared) {
    const mib = Math.round(setup.ramBytes / 2 ** 20);
    missing.push(
      `-object memory-backend-memfd,id=ram0,size=${mib}M,share=on -machine ${
        setup.machine === "" ? "pc" : setup.machine
      },memory-backend=ram0`,
    );
  }
  if (!setup.hasTablet) missing.push("-device virtio-tablet-pci");
  return missing;
}

/** A name as an endpoint may have it. */
function cleanName(name: string, pid: number): string {
  const clean = name.replace(/[^\p{L}\p{N}_.+@-]/gu, "-").replace(/^[.+@-]+/, "");
  let cut = clean;
  while (new TextEncoder().encode(cut).length > MAX_NAME_BYTES) cut = cut.slice(0, -1);
  return cut === "" || /^[0-9]+$/.test(cut) ? `qemu-${pid}` : cut;
}

/**
 * Paths at which a server has a connected peer: an accepted socket carries its listener's path. A host with a thousand controls has thousands of rows, most of
 * them without a path, so what can be skipped is not taken apart.
 *
 * @param table /proc/net/unix
 */
export function connectedPaths(table: string): Set<string> {
  const paths = new Set<string>();
  // Num RefCount Protocol Flags Type St Inode Path; the first row is the head, a connected socket's state is 03.
  for (let row = table.indexOf("\n") + 1; row > 0; row = table.indexOf("\n", row) + 1) {
    CONNECTED_ROW.lastIndex = row;
    const path = CONNECTED_ROW.exec(table)?.[1];
    if (path !== undefined) paths.add(path);
  }
  return paths;
}

const CONNECTED_ROW = /[0-9a-fA-F]+: [0-9A-F]+ [0-9A-F]+ [0-9A-F]+ [0-9A-F]+ 03 +\d+ (.+)/y;
