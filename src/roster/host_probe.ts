/**
 * The host probe: which QEMUs run here, what each offers and what it lacks to be attached, with the exact
 * option to add. It reads /proc and the file system and nothing else: it never connects to a monitor to see
 * whether it is free, because a connection that is dropped again disturbs whoever comes next; the kernel's
 * table of unix sockets tells who is connected.
 *
 * A process says itself what it is called and where its monitor is. What it says is believed as far as the
 * kernel confirms it: its program, its user, whose socket it names, who is connected there.
 * @module
 */
import { messageOf } from "../base/fault.ts";
import { printableName } from "../base/printable.ts";
import { MAX_QEMU_ARGUMENTS, MAX_QEMU_LINE_BYTES } from "../base/limits.ts";
import type { ProcessIdentity } from "../qemu/process_identity.ts";
import { isManagersOwn, MANAGER_NAME, type VmManager } from "../qemu/vm_manager.ts";
import { isQemuProgram, mapsAsQemu, otherVmmOf, saysQemu } from "../qemu/program.ts";
import { endpointName } from "./endpoint_name.ts";
import { missingOf } from "./probe_remedy.ts";
import { needsMaps, type QemuSetup, readQemuCommandLine } from "./qemu_command_line.ts";
import { SocketTable } from "../qemu/socket_table.ts";

/** Longest path of a unix socket, in bytes. */
const MAX_SOCKET_PATH_BYTES = 107;

/** A monitor of a VM. */
export interface ProbedMonitor {
  /** Where it listens; a path that is longer than a socket's can be is cut. */
  readonly path: string;
  /** Whether somebody is connected. */
  readonly busy: boolean;
  /** The manager whose own it is, "libvirt": it is left to that one. Absent: nobody's. */
  readonly holder?: string;
}

/** One running QEMU. */
export interface ProbedVm {
  /** Its process. */
  readonly pid: number;
  /** The user that runs it; -1 when it has more than one, or none that can be seen. */
  readonly uid: number;
  /** What it calls itself, its -name, in the reversible form of `printableName`; `qemu-PID` when nothing. */
  readonly name: string;
  /**
   * What it is called in the roster: its name; with its user behind it when that is neither root nor the
   * daemon's own.
   */
  readonly endpoint: string;
  /** A QMP socket of its own that nobody is connected to; "" when there is none. */
  readonly qmp: string;
  /** All its QMP sockets, and whether somebody is connected. */
  readonly monitors: readonly ProbedMonitor[];
  /** Where its monitors connect by themselves, absolute paths: somebody else listens there, or nobody. */
  readonly calls: readonly string[];
  /** What backs its RAM: "memfd", "file", … that can be shared, "private", or "file (private)". */
  readonly memory: string;
  /** Its RAM. */
  readonly ramBytes: number;
  /** Its keyboards and pointers. */
  readonly input: readonly string[];
  /** The display device and what shows it: "std/none". */
  readonly display: string;
  /** Display servers: "vnc unix:/run/web.vnc". */
  readonly viewers: readonly string[];
  /** Consoles: "serial pty". */
  readonly consoles: readonly string[];
  /** Where the guest agent's channel ends on the host; "" without one. */
  readonly agent: string;
  /** Who has started it, by the shape of its words: "libvirt", "proxmox", …; "" for nobody known. */
  readonly manager: VmManager;
  /** Whether the daemon can attach it: there is a free monitor. */
  readonly attachable: boolean;
  /** Why it is not attached though it offers a monitor; "" when nothing is in the way. */
  readonly refusal: string;
  /** Options of QEMU that would give what is missing, each as it is to be typed. */
  readonly missing: readonly string[];
}

/** The arguments of a process. */
export interface Arguments {
  /** The program's name and what follows; empty when they cannot be read. */
  readonly words: readonly string[];
  /** Whether that is all of them. */
  readonly isWhole: boolean;
}

/** Reads of the system, injected for tests. What a hostile process can make slow or endless is a promise. */
export interface HostView {
  /** The uid that looks: the daemon's, or whoever asks for a probe. */
  readonly ownUid: number;
  /** Numbers of all processes. */
  pids(): Promise<number[]>;
  /** Where /proc/PID/exe points; "" when it may not be read or the process is gone. */
  exe(pid: number): string;
  /** The arguments of a process, as far as they are read. */
  args(pid: number): Promise<Arguments>;
  /** Its /proc/PID/maps, as far as it is read; "" when it may not be. */
  maps(pid: number): Promise<string>;
  /** Its user; -1 unknown, or more than one. */
  uid(pid: number): number;
  /** When it was started: with its number it says which process it is. "" when it is gone. */
  started(pid: number): string;
  /** Its working directory, for relative paths; "" unknown. */
  cwd(pid: number): string;
  /** /proc/net/unix, in pieces. */
  unixSockets(): AsyncIterable<string>;
  /** Numbers (inodes) of the sockets that a process has open; undefined when that may not be seen. */
  sockets(pid: number): Promise<ReadonlySet<string> | undefined>;
  /** Why a monitor that a process of this user names cannot be trusted; "" when it can. */
  placeDefect(path: string, uid: number): Promise<string>;
  /** A path of a process', as it is reached from here: it may have other mounts. Absent: as it is. */
  outside?(pid: number, path: string): Promise<string>;
}

/** What of that is asked about one QEMU. */
export type VmView = Pick<HostView, "ownUid" | "sockets" | "placeDefect" | "outside">;

/** What of a QEMU stays the same for as long as it runs. */
export interface QemuProcess extends ProcessIdentity {
  /** The user that runs it; -1 unknown. */
  readonly uid: number;
  /** Its working directory, for relative paths; "" unknown. */
  readonly cwd: string;
  /** Whether the kernel says that its program is a QEMU; without that there is only what it calls itself. */
  readonly isConfirmed: boolean;
  /** Whether it has no command line at all: one that is just being started has none yet. */
  readonly isBlank: boolean;
  /** What its command line says. */
  readonly setup: QemuSetup;
  /** Sockets that are known to be its own: it need not be asked for them again. */
  readonly ownSockets: Set<string>;
}

/**
 * Every running QEMU system emulator, by pid.
 *
 * @param passOver told of what could not be read: one process keeps nobody else from being seen
 */
export async function probeHost(
  view: HostView,
  passOver: (pid: number, why: string) => void = () => {},
): Promise<ProbedVm[]> {
  /** Users of whom something did not answer: nothing else of theirs is waited for. */
  const slow = new Set<number>();
  const attempt = async <T>(pid: number, uid: number, ask: () => Promise<T>): Promise<T | undefined> => {
    try {
      if (!slow.has(uid)) return await ask();
      passOver(pid, "another process of its user does not respond");
    } catch (error) {
      slow.add(uid);
      passOver(pid, messageOf(error));
    }
    return undefined;
  };
  const processes: QemuProcess[] = [];
  /** Users of whom a process that is called something else did not answer: it is hardly a QEMU. */
  const silent = new Set<number>();
  for (const pid of await view.pids()) {
    const uid = view.uid(pid);
    const program = view.exe(pid);
    const process = program === "" || isQemuProgram(program)
      ? await attempt(pid, uid, () => readProcess(view, pid))
      : await readUnnamed(view, pid, uid, silent);
    if (process !== undefined) processes.push(process);
  }
  processes.sort((a, b) => a.pid - b.pid);
  const connected = await readConnections(view, processes);
  const found: ProbedVm[] = [];
  for (const process of processes) {
    const vm = await attempt(process.pid, process.uid, () => describeVm(view, process, connected));
    if (vm !== undefined) found.push(vm);
  }
  return found;
}

/** A VM that runs under another VMM than QEMU. */
export interface ForeignVm {
  /** Its process. */
  readonly pid: number;
  /** What that is: "Cloud Hypervisor", "Firecracker". */
  readonly vmm: string;
}

/** VMs that no QEMU runs, by pid: nothing of theirs can be joined, and a person who looks for one is told. */
export async function probeForeign(view: Pick<HostView, "pids" | "exe">): Promise<ForeignVm[]> {
  const pids = await view.pids();
  return pids.sort((a, b) => a - b).flatMap((pid) => {
    const vmm = otherVmmOf(view.exe(pid));
    return vmm === undefined ? [] : [{ pid, vmm }];
  });
}

/** A process as a QEMU system emulator; undefined when it is not one. */
export async function readProcess(view: HostView, pid: number): Promise<QemuProcess | undefined> {
  const program = view.exe(pid);
  const started = view.started(pid);
  const { words, isWhole } = await view.args(pid);
  if (program === "" ? !isQemuProgram(words[0] ?? "") : !await isQemu(view, pid, program, words)) {
    return undefined;
  }
  const options = words.slice(1);
  const setup = readQemuCommandLine(options, needsMaps(options) ? await view.maps(pid) : "");
  return {
    pid,
    started,
    uid: view.uid(pid),
    cwd: view.cwd(pid),
    isConfirmed: program !== "",
    isBlank: words.length === 0,
    setup: isWhole ? setup : { ...setup, isWhole },
    ownSockets: new Set(),
  };
}

/** A process whose program is called something else, which keeps nobody waiting twice. */
async function readUnnamed(
  view: HostView,
  pid: number,
  uid: number,
  silent: Set<number>,
): Promise<QemuProcess | undefined> {
  if (silent.has(uid)) return undefined;
  try {
    return await readProcess(view, pid);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    silent.add(uid);
    return undefined;
  }
}

async function isQemu(
  view: HostView,
  pid: number,
  program: string,
  words: readonly string[],
): Promise<boolean> {
  if (isQemuProgram(program)) return true;
  // A launcher may have a QEMU's words for arguments; it does not have a QEMU's memory.
  return saysQemu(words) && mapsAsQemu(await view.maps(pid));
}

/** By path, the sockets that say they are connected to a monitor of one of these. */
export async function readConnections(
  view: HostView,
  processes: Iterable<QemuProcess>,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const wanted = new Set<string>();
  for (const process of processes) {
    for (const { path, absolute } of monitorsOf(process)) wanted.add(path).add(absolute);
  }
  const table = new SocketTable(wanted);
  if (wanted.size > 0) { for await (const piece of view.unixSockets()) table.take(piece); }
  return table.connected;
}

interface Monitor {
  /** As it was given, and as the kernel's table has it. */
  readonly path: string;
  readonly absolute: string;
  readonly fits: boolean;
}

function monitorsOf({ cwd, setup }: QemuProcess): Monitor[] {
  return setup.qmp.filter((offer) => offer.listens).map(({ path }) => {
    const absolute = path.startsWith("/") ? path : `${cwd}/${path}`;
    if (fitsSocket(absolute)) return { path, absolute, fits: true };
    const cut = `${absolute.slice(0, MAX_SOCKET_PATH_BYTES)}…`;
    return { path: cut, absolute: cut, fits: false };
  });
}

function callsOf({ qmp }: QemuProcess["setup"]): string[] {
  return qmp.filter(({ path, listens }) => !listens && path.startsWith("/") && fitsSocket(path))
    .map(({ path }) => path);
}

function fitsSocket(path: string): boolean {
  return path.length <= MAX_SOCKET_PATH_BYTES &&
    new TextEncoder().encode(path).length <= MAX_SOCKET_PATH_BYTES;
}

/**
 * A QEMU as it stands now.
 *
 * @param connected from {@linkcode readConnections}
 */
export async function describeVm(
  view: VmView,
  process: QemuProcess,
  connected: ReadonlyMap<string, readonly string[]>,
): Promise<ProbedVm> {
  const { pid, uid, setup } = process;
  const monitors: ProbedMonitor[] = [];
  let refusal = processRefusal(process);
  let free = "";
  for (const { path, absolute, fits } of monitorsOf(process)) {
    const claims = [...connected.get(path) ?? [], ...path === absolute ? [] : connected.get(absolute) ?? []];
    const busy = claims.length > 0 && await isOwn(view, process, claims);
    if (isManagersOwn(absolute)) {
      monitors.push({ path: absolute, busy: true, holder: MANAGER_NAME[setup.manager] });
      continue;
    }
    monitors.push({ path: absolute, busy });
    if (busy || free !== "" || processRefusal(process) !== "") continue;
    const place = await view.outside?.(pid, absolute) ?? absolute;
    const defect = fits && fitsSocket(place)
      ? await view.placeDefect(place, uid)
      : `its monitor's path is longer than the ${MAX_SOCKET_PATH_BYTES} bytes that a socket's can have`;
    if (defect === "") free = place;
    else if (refusal === "") refusal = defect;
  }
  if (setup.hasMonitorByDescriptor) {
    monitors.push({ path: "(by a descriptor)", busy: true, holder: MANAGER_NAME[setup.manager] });
  }
  const { memory, viewers, consoles, agent, manager } = setup;
  return {
    pid,
    uid,
    name: printableName(setup.name) || `qemu-${pid}`,
    endpoint: endpointName(setup.name, pid, uid, uid === 0 || uid === view.ownUid),
    qmp: free,
    monitors,
    calls: callsOf(setup),
    memory: memory.shared || !isBackend(memory.backend) ? memory.backend : `${memory.backend} (private)`,
    ramBytes: setup.ramBytes,
    input: [...setup.keyboards, ...setup.pointers],
    display: setup.display,
    viewers,
    consoles,
    agent,
    manager,
    attachable: free !== "",
    refusal: free !== "" ? "" : refusal,
    missing: missingOf(process, free !== "" || (refusal !== "" && monitors.some(({ busy }) => !busy))),
  };
}

/** Whether it is the name of a backend, which may be shared or not. */
function isBackend(name: string): boolean {
  return name !== "private" && !name.includes(" ");
}

/** Why no monitor of a process is used, whichever it is; "" when none stands in the way. */
function processRefusal({ uid, isConfirmed, setup }: QemuProcess): string {
  if (!isConfirmed) return "its program may not be seen: only its arguments say that it is QEMU";
  if (uid < 0) return "it does not run as one user";
  if (setup.isWhole) return "";
  return `its command line is longer than the ${MAX_QEMU_ARGUMENTS} words or ${MAX_QEMU_LINE_BYTES} bytes that are read; name it by an [[endpoint]]`;
}

/** Whether any of these sockets is a process's; one that may not be asked is believed. */
async function isOwn(view: VmView, process: QemuProcess, claims: readonly string[]): Promise<boolean> {
  if (claims.some((claim) => process.ownSockets.has(claim))) return true;
  const sockets = await view.sockets(process.pid);
  if (sockets === undefined) return true;
  const own = claims.filter((claim) => sockets.has(claim));
  process.ownSockets.clear();
  for (const claim of own) process.ownSockets.add(claim);
  return own.length > 0;
}
