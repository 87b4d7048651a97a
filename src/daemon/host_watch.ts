/**
 * Checks every few seconds which QEMUs run on this host, and tells the loop's thread about those with a free
 * monitor (`discovery.probe`). It runs on the main thread, because reading /proc of a large host takes longer
 * than the loop may pause; and in slices of a few milliseconds, because the main thread also handles signals,
 * the watchdog and the metrics.
 *
 * A probe costs little while nothing changes (with 64 QEMUs and a thousand controls: 10 ms for a full one, 1
 * ms for most): a QEMU is read once and identified by its pid and start time; other processes are not read
 * again for a minute; and the kernel's socket table, which grows with every control, is read when there is a
 * new QEMU and at every third probe.
 *
 * Only VMs of the selected users are read at all. One that cannot be read is skipped and logged once; other
 * processes that its user may have started are then left to the next probe. No error ends the probing.
 * @module
 */
import { assert } from "../base/assert.ts";
import { messageOf } from "../base/fault.ts";
import { MAX_PROBED_A_USER, MAX_PROBED_VMS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import { isQemuProgram, saysQemu } from "../qemu/program.ts";
import {
  describeVm,
  type HostView,
  type QemuProcess,
  readConnections,
  readProcess,
  type VmView,
} from "../roster/host_probe.ts";
import { ProcHost } from "../roster/proc_host.ts";

const PERIOD_MS = 5000;
/** Probes after which the monitors are checked again, to notice one that another client has released. */
const LOOKS_PER_TABLE = 3;
/** Probes after which other processes are read again, since their pids may have been reused. */
const LOOKS_PER_MEMORY = 12;
/** Probes that a new VM has to make its socket before it is reported to have none. */
const LOOKS_TO_BEGIN = 3;
/** Longest slice of a probe before the thread's other work continues, ms. */
const SLICE_MS = 4;
/** Maximum number of lines that one probe logs. */
const MOST_LINES = 16;
// Bit numbers from linux/capability.h.
const CAP_DAC_OVERRIDE = 1n;
const CAP_SYS_PTRACE = 19n;

/** A QEMU that the daemon can attach or has attached. */
export interface FoundVm {
  /** Its process. */
  readonly pid: number;
  /** Its start time, which together with the pid identifies the process. */
  readonly started: string;
  /** Its name in the roster. */
  readonly name: string;
  /** Whether it belongs to root or the daemon's own user. */
  readonly trusted: boolean;
  /** A free monitor; "" when none is free now. */
  readonly qmp: string;
  /** Whether its RAM can be shared. */
  readonly hasMemory: boolean;
}

/** The options of a watch. */
export interface HostWatchOptions {
  /**
   * Called with all running QEMUs when the list has changed. False: it could not be taken, and is passed
   * again at the next probe.
   */
  readonly tell: (found: readonly FoundVm[]) => boolean;
  /** The users whose VMs are attached; called at each probe. */
  readonly users: () => ReadonlySet<number>;
  /** Logs what it skips. */
  readonly log: Log;
  /** The host that it reads; tests replace it. */
  readonly host?: HostView;
}

interface Known {
  readonly process: QemuProcess;
  /** Number of checks of its monitors so far. */
  looks: number;
  /** The last reason why it is not attached. */
  refusal: string;
  /** The reason that was logged. */
  told: string;
}

/** Watches the host's processes. */
export class HostWatch implements Disposable {
  readonly #options: HostWatchOptions;
  readonly #log: Log;
  readonly #host: HostView;
  readonly #qemus = new Map<number, Known>();
  /** Processes that are not QEMUs. */
  readonly #others = new Set<number>();
  /** Users with a process of another name that did not respond in this probe. */
  readonly #silent = new Set<number>();
  /** Processes that could not be read, by start time; each is logged once. */
  readonly #unreadable = new Map<number, string>();
  /** Users with more VMs than are attached; each is logged once. */
  readonly #crowds = new Set<number>();
  #looks = 0;
  #lines = 0;
  #sliceEnd = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #over = false;
  #lastError = "";
  /** The list that the loop has, as JSON. */
  #told = "[]";
  #found: readonly FoundVm[] = [];

  /** Starts without a probe. */
  constructor(options: HostWatchOptions) {
    this.#options = options;
    this.#log = options.log.for("probe");
    this.#host = options.host ?? new ProcHost();
  }

  /** Probes now, and every five seconds from now on. Resolves when the first probe is done. */
  start(): Promise<void> {
    assert(this.#timer === undefined, "a watch is started once");
    this.#timer = setInterval(() => void this.tick(), PERIOD_MS);
    Deno.unrefTimer(this.#timer);
    return this.look();
  }

  /** Probes everything once; resolves when done. Never rejects. */
  look(): Promise<void> {
    this.#looks = 0;
    // A probe that is under way may have passed what this one is to find.
    this.#again = this.#running !== undefined;
    return this.tick();
  }

  /** One regular probe; never two at the same time. */
  tick(): Promise<void> {
    return this.#running ??= this.#run().finally(() => this.#running = undefined);
  }

  /** Stops probing. */
  [Symbol.dispose](): void {
    this.#over = true;
    if (this.#timer !== undefined) clearInterval(this.#timer);
  }

  async #run(): Promise<void> {
    do {
      this.#again = false;
      this.#lines = 0;
      this.#sliceEnd = performance.now() + SLICE_MS;
      try {
        await this.#look();
        this.#lastError = "";
      } catch (error) {
        // The next probe may succeed; an error that occurs every time is logged once.
        const message = messageOf(error);
        if (message !== this.#lastError) this.#log.error(`cannot scan for VMs: ${message}`);
        this.#lastError = message;
      }
      if (this.#lines > MOST_LINES) {
        this.#log.warn("further log lines of the probe are omitted", { lines: this.#lines - MOST_LINES });
      }
    } while (this.#again && !this.#over);
  }

  async #look(): Promise<void> {
    const listed = this.#options.users();
    /** Users with a process that could not be read: their other processes are left to the next probe. */
    const slow = new Set<number>();
    const look = this.#looks++;
    if (look % LOOKS_PER_MEMORY === 0) this.#others.clear();
    this.#silent.clear();
    const pids = await this.#host.pids();
    const running = new Set(pids);
    let hasGone = false;
    for (const pid of this.#qemus.keys()) if (!running.has(pid)) hasGone = this.#qemus.delete(pid);
    for (const pid of this.#others) if (!running.has(pid)) this.#others.delete(pid);
    for (const pid of this.#unreadable.keys()) if (!running.has(pid)) this.#unreadable.delete(pid);
    let hasCome = false;
    for (const pid of pids) {
      if (this.#others.has(pid)) continue;
      if (performance.now() >= this.#sliceEnd) await this.#pause();
      if (this.#over) return;
      if (await this.#meet(pid, listed, slow)) hasCome = true;
    }
    const isBeginning = (known: Known) => known.refusal !== "" && known.looks < LOOKS_TO_BEGIN;
    const isTableDue = hasCome || look % LOOKS_PER_TABLE === 0 || this.#qemus.values().some(isBeginning);
    if (hasGone || isTableDue) this.#found = await this.#describe(listed);
    this.#tell();
  }

  /** Lets the thread do its other work. */
  async #pause(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#sliceEnd = performance.now() + SLICE_MS;
  }

  /** Reads a process that is not known to be something else; returns whether the set of QEMUs has changed. */
  async #meet(pid: number, listed: ReadonlySet<number>, slow: Set<number>): Promise<boolean> {
    const known = this.#qemus.get(pid);
    const started = known === undefined ? "" : this.#host.started(pid);
    if (known !== undefined && known.process.started === started) return false;
    this.#qemus.delete(pid);
    const path = this.#host.exe(pid);
    // A process that has just been started may still run its parent's program, so only older ones are
    // remembered.
    const isNamed = isQemuProgram(path);
    if (!isNamed && (path === "" || !isSettled(path))) return known !== undefined;
    const uid = this.#host.uid(pid);
    if (slow.has(uid)) return known !== undefined;
    // A program with another name is hardly a QEMU, and not worth waiting for.
    if (!isNamed && !await this.#mayBeQemu(pid, uid, listed)) {
      if (!/qemu|kvm/.test(path) && !this.#silent.has(uid)) this.#others.add(pid);
      return known !== undefined;
    }
    const process = listed.has(uid) ? await this.#read(pid, slow, uid) : undefined;
    // It is being started: the kernel has set its program, but not its arguments.
    if (process === "later") return known !== undefined;
    // Nothing is read of a user who is not selected, who can then neither influence nor delay the probe.
    if (process === undefined || !listed.has(process.uid)) this.#others.add(pid);
    else this.#qemus.set(pid, { process, looks: 0, refusal: "", told: "" });
    return known !== undefined || this.#qemus.has(pid);
  }

  /** Whether a process with another program name identifies itself as a QEMU. */
  async #mayBeQemu(pid: number, uid: number, listed: ReadonlySet<number>): Promise<boolean> {
    if (!listed.has(uid) || this.#silent.has(uid)) return false;
    const started = this.#host.started(pid);
    if (this.#unreadable.get(pid) === started) return false;
    try {
      return saysQemu((await this.#host.args(pid)).words);
    } catch {
      // A process that does not respond must not hide its user's VMs. It is not read again in this probe, and
      // the user's other processes with such names are left to the next one.
      this.#unreadable.set(pid, started);
      this.#silent.add(uid);
      return false;
    }
  }

  async #read(pid: number, slow: Set<number>, uid: number): Promise<QemuProcess | "later" | undefined> {
    try {
      const process = await readProcess(this.#host, pid);
      if (process?.isBlank) return "later";
      // The pid may belong to another process by now, which the next probe will find.
      return process?.started === this.#host.started(pid) && process.isConfirmed ? process : undefined;
    } catch (error) {
      slow.add(uid);
      const started = this.#host.started(pid);
      if (this.#unreadable.get(pid) !== started) {
        this.#warn("a process is skipped", { pid, uid, why: messageOf(error) });
      }
      this.#unreadable.set(pid, started);
      return undefined;
    }
  }

  /** The report about the known QEMUs. */
  async #describe(listed: ReadonlySet<number>): Promise<FoundVm[]> {
    const { ownUid } = this.#host;
    const reachesOthers = ownUid === 0 || hasCapabilities();
    for (const [pid, { process }] of this.#qemus) {
      // With QEMU's -runas it starts as root and changes its user; nothing else can.
      const isAnother = process.uid === 0 && this.#host.uid(pid) !== 0;
      if (isAnother || !listed.has(process.uid)) this.#qemus.delete(pid);
    }
    const members: Known[] = [];
    const counts = new Map<number, number>();
    for (const known of this.#bySeniority()) {
      const { uid, setup } = known.process;
      // Without a monitor of its own it cannot be attached, and must not take another one's place.
      if (setup.qmp.every(({ listens }) => !listens)) continue;
      // Another user's VM can be accessed only as root or with certain capabilities.
      if (uid !== ownUid && !reachesOthers) continue;
      const count = (counts.get(uid) ?? 0) + 1;
      counts.set(uid, count);
      if (members.length < MAX_PROBED_VMS && (this.#trusts(uid) || count <= MAX_PROBED_A_USER)) {
        members.push(known);
      } else if (!this.#crowds.has(uid)) {
        this.#crowds.add(uid);
        this.#warn("a user has more VMs than are attached; configure the others as [[endpoint]]", {
          uid,
          count,
        });
      }
    }
    const connected = await readConnections(this.#host, members.map(({ process }) => process));
    const found: FoundVm[] = [];
    const slow = new Set<number>();
    for (const known of members) found.push(await this.#describeOne(known, connected, slow));
    return found;
  }

  async #describeOne(
    known: Known,
    connected: ReadonlyMap<string, readonly string[]>,
    slow: Set<number>,
  ): Promise<FoundVm> {
    const { process } = known;
    const { pid, started, uid } = process;
    if (performance.now() >= this.#sliceEnd) await this.#pause();
    const host = this.#host;
    const view: VmView = {
      ownUid: host.ownUid,
      sockets: (each) => this.#patiently(uid, slow, () => host.sockets(each), () => undefined),
      placeDefect: (path, owner) =>
        this.#patiently(uid, slow, () => host.placeDefect(path, owner), (why) => why),
      outside: (each, path) =>
        this.#patiently(uid, slow, async () => await host.outside?.(each, path) ?? path, () => path),
    };
    const vm = await describeVm(view, process, connected);
    known.refusal = vm.refusal;
    known.looks++;
    if (vm.refusal !== "" && vm.refusal !== known.told && known.looks >= LOOKS_TO_BEGIN) {
      known.told = vm.refusal;
      const remedy = "fix that, or configure the VM as an [[endpoint]]";
      this.#warn("a VM is not attached", { name: vm.endpoint, pid, uid, why: vm.refusal, remedy });
    }
    return {
      pid,
      started,
      name: vm.endpoint,
      trusted: this.#trusts(uid),
      qmp: vm.qmp,
      hasMemory: !/private/.test(vm.memory),
    };
  }

  /**
   * Reads something that may not respond; a process that did not respond is not read again in this probe, for
   * any of its user's VMs.
   */
  async #patiently<T>(
    uid: number,
    slow: Set<number>,
    ask: () => Promise<T>,
    otherwise: (why: string) => T,
  ): Promise<T> {
    if (slow.has(uid)) return otherwise("another process of its user does not respond");
    try {
      return await ask();
    } catch (error) {
      slow.add(uid);
      return otherwise(messageOf(error));
    }
  }

  /**
   * VMs of root and our own user first, and within each group the longest-running: a new VM displaces none.
   */
  #bySeniority(): Known[] {
    const rank = ({ process: { uid } }: Known) => this.#trusts(uid) ? 0 : 1;
    return [...this.#qemus.values()].sort((a, b) =>
      rank(a) - rank(b) || Number(a.process.started) - Number(b.process.started) ||
      a.process.pid - b.process.pid
    );
  }

  #trusts(uid: number): boolean {
    return uid === 0 || uid === this.#host.ownUid;
  }

  #tell(): void {
    const key = JSON.stringify(this.#found);
    if (this.#over || key === this.#told) return;
    // If the loop's ring is full, the list is passed at the next probe.
    if (this.#options.tell(this.#found)) this.#told = key;
  }

  #warn(message: string, fields: Readonly<Record<string, string | number>>): void {
    if (this.#lines++ < MOST_LINES) this.#log.warn(message, fields);
  }
}

/**
 * Whether this process may open other users' sockets and inspect their processes, as the systemd unit
 * permits.
 */
function hasCapabilities(): boolean {
  const effective = /^CapEff:\s+([0-9a-f]+)$/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1] ?? "0";
  const bits = BigInt(`0x${effective}`);
  return [CAP_DAC_OVERRIDE, CAP_SYS_PTRACE].every((bit) => ((bits >> bit) & 1n) === 1n);
}

/** Shells and wrappers soon execute another program. */
function isSettled(path: string): boolean {
  return !/\/(ba|da|z|fi)?sh$|\/(env|sudo|setpriv|timeout|nice|systemd-run|unshare|python3?[\d.]*|deno|node)$/
    .test(path);
}
