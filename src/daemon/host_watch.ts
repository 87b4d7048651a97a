/**
 * Looks every few seconds which QEMUs run here, and tells the loop's thread of those that offer a free monitor (`discovery.probe`). On the main thread, because /proc of a large host takes
 * longer than the loop may stand still.
 *
 * A look costs little while nothing changes (64 QEMUs and a thousand controls: 10 ms for a whole one, 1 ms for most): a QEMU is read once, and known by its number
 * and its start; a process that was something else is not looked at again for a minute; and the kernel's table of sockets, which grows with every
 * control, is read when a QEMU has come and at every third look.
 * @module
 */
import { messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import {
  connectedPaths,
  describeVm,
  type HostView,
  type QemuProcess,
  readProcess,
} from "../roster/host_probe.ts";
import { ProcHost } from "../roster/proc_host.ts";

const PERIOD_MS = 5000;
/** Looks until the monitors are looked at again: one that another client gives back is noticed then. */
const LOOKS_A_TABLE = 3;
/** Looks until processes that were something else are looked at again: their numbers may be others' by then. */
const LOOKS_A_MEMORY = 12;
// Numbers of linux/capability.h.
const CAP_DAC_OVERRIDE = 1n;
const CAP_SYS_PTRACE = 19n;

/** A QEMU that the daemon could attach, or has attached. */
export interface FoundVm {
  /** Its process. */
  readonly pid: number;
  /** Its name, as an endpoint may have it. */
  readonly name: string;
  /** A free monitor; "" when none is free now. */
  readonly qmp: string;
  /** Whether its RAM can be shared. */
  readonly hasMemory: boolean;
}

/** What a watch looks at; {@linkcode ProcHost} unless a test has another. */
export interface WatchedHost extends HostView {
  /** When a process was started: with its number it says which process it is. "" when it is gone. */
  started(pid: number): string;
}

interface Known {
  readonly started: string;
  readonly process: QemuProcess;
}

/** Watches the host's processes. */
export class HostWatch implements Disposable {
  readonly #host: WatchedHost;
  readonly #qemus = new Map<number, Known>();
  /** Processes that were something else. */
  #others = new Set<number>();
  #busy: ReadonlySet<string> = new Set();
  #looks = 0;
  readonly #tell: (found: readonly FoundVm[]) => void;
  readonly #log: Log;
  #timer: ReturnType<typeof setInterval> | undefined;
  #last = "";

  /**
   * Looks at nothing yet.
   *
   * @param tell called with every QEMU that runs, when that has changed
   * @param host where
   */
  constructor(tell: (found: readonly FoundVm[]) => void, log: Log, host: WatchedHost = new ProcHost()) {
    this.#tell = tell;
    this.#log = log;
    this.#host = host;
  }

  /** Looks now, and every five seconds from now on. */
  start(): void {
    this.look();
    this.#timer = setInterval(() => this.tick(), PERIOD_MS);
    Deno.unrefTimer(this.#timer);
  }

  /** Looks once, at everything. */
  look(): void {
    this.#looks = 0;
    this.tick();
  }

  /** One of its regular looks. */
  tick(): void {
    try {
      this.#look();
    } catch (error) {
      // Without a look at the host the daemon still serves what the config and the trigger directory name.
      this.#log.error(`cannot look for VMs: ${messageOf(error)}`);
      this[Symbol.dispose]();
    }
  }

  #look(): void {
    if (!this.#hasNews()) return;
    const ownUid = Deno.uid();
    const reachesOthers = ownUid === 0 || hasCapabilities();
    const found = [...this.#qemus.values()]
      .map(({ process }) => describeVm(process, this.#busy))
      // Another user's VM is out of reach, unless we are root or have been given what it takes.
      .filter((vm) => reachesOthers || vm.uid === ownUid)
      .map(({ pid, name, qmp, memory }) => ({
        pid,
        name,
        qmp,
        hasMemory: !/private/.test(memory),
      }));
    found.sort((a, b) => a.pid - b.pid);
    const key = JSON.stringify(found);
    if (key === this.#last) return;
    this.#last = key;
    this.#tell(found);
  }

  /** Looks who runs, and at the monitors when that is due; whether there may be something to tell. */
  #hasNews(): boolean {
    const look = this.#looks++;
    if (look % LOOKS_A_MEMORY === 0) this.#others.clear();
    const pids = this.#host.pids();
    const running = new Set(pids);
    let hasGone = false;
    for (const pid of this.#qemus.keys()) if (!running.has(pid)) hasGone = this.#qemus.delete(pid);
    for (const pid of this.#others) if (!running.has(pid)) this.#others.delete(pid);
    let hasCome = false;
    for (const pid of pids) if (!this.#others.has(pid) && this.#meet(pid)) hasCome = true;
    const isTableDue = hasCome || look % LOOKS_A_TABLE === 0;
    if (isTableDue) this.#busy = connectedPaths(this.#host.unixSockets());
    return hasGone || isTableDue;
  }

  /** Looks at a process that is not known to be something else; whether that changes which QEMUs there are. */
  #meet(pid: number): boolean {
    const known = this.#qemus.get(pid);
    const started = known === undefined ? "" : this.#host.started(pid);
    if (known !== undefined && known.started === started) return false;
    this.#qemus.delete(pid);
    const path = this.#host.exe(pid);
    if (path !== "" && !/qemu|kvm/.test(path)) {
      // A process that is just being started may still be its parent's program: only long-lived ones are remembered.
      if (isSettled(path)) this.#others.add(pid);
      return known !== undefined;
    }
    const process = readProcess(this.#host, pid);
    if (process === undefined) return known !== undefined;
    this.#qemus.set(pid, { started: this.#host.started(pid), process });
    return true;
  }

  /** Looks no more. */
  [Symbol.dispose](): void {
    if (this.#timer !== undefined) clearInterval(this.#timer);
  }
}

/** Whether this process may open other users' sockets and look into their processes, as the systemd unit lets it. */
function hasCapabilities(): boolean {
  const effective = /^CapEff:\s+([0-9a-f]+)$/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1] ?? "0";
  const bits = BigInt(`0x${effective}`);
  return [CAP_DAC_OVERRIDE, CAP_SYS_PTRACE].every((bit) => ((bits >> bit) & 1n) === 1n);
}

/** Shells and wrappers execute something else in a moment. */
function isSettled(path: string): boolean {
  return !/\/(ba|da|z|fi)?sh$|\/(env|sudo|setpriv|timeout|nice|systemd-run|unshare|python3?[\d.]*|deno|node)$/
    .test(path);
}
