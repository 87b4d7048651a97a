/**
 * Looks every few seconds which QEMUs run here, and tells the loop's thread of those that offer a free
 * monitor (`discovery.probe`). On the main thread, because /proc of a large host takes longer than the loop
 * may stand still; and there in slices of a few milliseconds, because that thread has signals, the watchdog
 * and the metrics to see to.
 *
 * A look costs little while nothing changes (64 QEMUs and a thousand controls: 10 ms for a whole one, 1 ms
 * for most): a QEMU is read once, and known by its number and its start; a process that was something else is
 * not looked at again for a minute; and the kernel's table of sockets, which grows with every control, is
 * read when a QEMU has come and at every third look.
 *
 * Only VMs of users that count are read at all. One that cannot be read is passed over and told once, what
 * its user starts besides waits for the next look, and nothing ends the looking.
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
/** Looks until the monitors are looked at again: one that another client gives back is noticed then. */
const LOOKS_PER_TABLE = 3;
/**
 * Looks until processes that were something else are looked at again: their numbers may be others' by then.
 */
const LOOKS_PER_MEMORY = 12;
/** Looks that a new VM is given to make its socket before it is said that there is none. */
const LOOKS_TO_BEGIN = 3;
/** How long a look goes on before the thread's other work is let in, ms. */
const SLICE_MS = 4;
/** Lines that one look writes at most. */
const MOST_LINES = 16;
// Numbers of linux/capability.h.
const CAP_DAC_OVERRIDE = 1n;
const CAP_SYS_PTRACE = 19n;

/** A QEMU that the daemon could attach, or has attached. */
export interface FoundVm {
  /** Its process. */
  readonly pid: number;
  /** When that was started: with its number it says which process it is. */
  readonly started: string;
  /** Its name in the roster. */
  readonly name: string;
  /** Whether it is root's or the daemon's own user's. */
  readonly trusted: boolean;
  /** A free monitor; "" when none is free now. */
  readonly qmp: string;
  /** Whether its RAM can be shared. */
  readonly hasMemory: boolean;
}

/** What a watch is made of. */
export interface HostWatchOptions {
  /**
   * Called with every QEMU that runs, when that has changed. False: it could not be taken, and is told again
   * at the next look.
   */
  readonly tell: (found: readonly FoundVm[]) => boolean;
  /** Whose VMs count, asked at each look. */
  readonly users: () => ReadonlySet<number>;
  /** Where it tells what it passes over. */
  readonly log: Log;
  /** Where it looks; the real host unless a test has another. */
  readonly host?: HostView;
}

interface Known {
  readonly process: QemuProcess;
  /** Looks at its monitors so far. */
  looks: number;
  /** Why it is not attached, as it was found last. */
  refusal: string;
  /** What was said of it. */
  told: string;
}

/** Watches the host's processes. */
export class HostWatch implements Disposable {
  readonly #options: HostWatchOptions;
  readonly #log: Log;
  readonly #host: HostView;
  readonly #qemus = new Map<number, Known>();
  /** Processes that were something else. */
  readonly #others = new Set<number>();
  /** Users of whom a process that is called something else did not answer in this look. */
  readonly #silent = new Set<number>();
  /** Those that could not be read, by when they were started: it is said once. */
  readonly #unreadable = new Map<number, string>();
  /** Users that have more VMs than are attached, told once. */
  readonly #crowds = new Set<number>();
  #looks = 0;
  #lines = 0;
  #sliceEnd = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #over = false;
  #lastError = "";
  /** What the loop knows, as JSON. */
  #told = "[]";
  #found: readonly FoundVm[] = [];

  /** Looks at nothing yet. */
  constructor(options: HostWatchOptions) {
    this.#options = options;
    this.#log = options.log.for("probe");
    this.#host = options.host ?? new ProcHost();
  }

  /** Looks now, and every five seconds from now on. Resolves when the first look is done. */
  start(): Promise<void> {
    assert(this.#timer === undefined, "a watch is started once");
    this.#timer = setInterval(() => void this.tick(), PERIOD_MS);
    Deno.unrefTimer(this.#timer);
    return this.look();
  }

  /** Looks once, at everything; resolves when that is done. It never rejects. */
  look(): Promise<void> {
    this.#looks = 0;
    // One that is under way may have passed already what this one is for.
    this.#again = this.#running !== undefined;
    return this.tick();
  }

  /** One of its regular looks; one at a time. */
  tick(): Promise<void> {
    return this.#running ??= this.#run().finally(() => this.#running = undefined);
  }

  /** Looks no more. */
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
        // The next look may find what this one did not; what it meets each time is said once.
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
    /** Users of whom a process could not be read: their other processes wait for the next look. */
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

  /** Lets the thread do what else waits for it. */
  async #pause(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#sliceEnd = performance.now() + SLICE_MS;
  }

  /**
   * Looks at a process that is not known to be something else; whether that changes which QEMUs there are.
   */
  async #meet(pid: number, listed: ReadonlySet<number>, slow: Set<number>): Promise<boolean> {
    const known = this.#qemus.get(pid);
    const started = known === undefined ? "" : this.#host.started(pid);
    if (known !== undefined && known.process.started === started) return false;
    this.#qemus.delete(pid);
    const path = this.#host.exe(pid);
    // A process that is just being started may still be its parent's program: only long-lived ones are
    // remembered.
    const isNamed = isQemuProgram(path);
    if (!isNamed && (path === "" || !isSettled(path))) return known !== undefined;
    const uid = this.#host.uid(pid);
    if (slow.has(uid)) return known !== undefined;
    // Under another name it is hardly a QEMU, and worth no waiting.
    if (!isNamed && !await this.#mayBeQemu(pid, uid, listed)) {
      if (!/qemu|kvm/.test(path) && !this.#silent.has(uid)) this.#others.add(pid);
      return known !== undefined;
    }
    const process = listed.has(uid) ? await this.#read(pid, slow, uid) : undefined;
    // It is just being started: the kernel has put its program in place and not yet its arguments.
    if (process === "later") return known !== undefined;
    // Nothing of a user who does not count is read: neither can it say anything, nor keep anybody waiting.
    if (process === undefined || !listed.has(process.uid)) this.#others.add(pid);
    else this.#qemus.set(pid, { process, looks: 0, refusal: "", told: "" });
    return known !== undefined || this.#qemus.has(pid);
  }

  /** Whether a process whose program is called something else says that it is a QEMU. */
  async #mayBeQemu(pid: number, uid: number, listed: ReadonlySet<number>): Promise<boolean> {
    if (!listed.has(uid) || this.#silent.has(uid)) return false;
    const started = this.#host.started(pid);
    if (this.#unreadable.get(pid) === started) return false;
    try {
      return saysQemu((await this.#host.args(pid)).words);
    } catch {
      // One that does not answer is not a reason to pass over its user's VMs. It is not asked again, and
      // those of its user that are called something else wait for the next look.
      this.#unreadable.set(pid, started);
      this.#silent.add(uid);
      return false;
    }
  }

  async #read(pid: number, slow: Set<number>, uid: number): Promise<QemuProcess | "later" | undefined> {
    try {
      const process = await readProcess(this.#host, pid);
      if (process?.isBlank) return "later";
      // Another process may have the number by now: then it is met the next time.
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

  /** What there is to tell of those that are known. */
  async #describe(listed: ReadonlySet<number>): Promise<FoundVm[]> {
    const { ownUid } = this.#host;
    const reachesOthers = ownUid === 0 || hasCapabilities();
    for (const [pid, { process }] of this.#qemus) {
      // QEMU's -runas: it has begun as root. Nobody else can become another.
      const isAnother = process.uid === 0 && this.#host.uid(pid) !== 0;
      if (isAnother || !listed.has(process.uid)) this.#qemus.delete(pid);
    }
    const members: Known[] = [];
    const counts = new Map<number, number>();
    for (const known of this.#bySeniority()) {
      const { uid, setup } = known.process;
      // One without a monitor of its own cannot be attached, and takes nobody's place.
      if (setup.qmp.every(({ listens }) => !listens)) continue;
      // Another user's VM is out of reach, unless we are root or have been given what it takes.
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
   * Asks what may not answer; what did not answer once is not asked again in this look, whichever of its
   * user's VMs it is about.
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

  /** Root's and our own first, and of each those that run longest: a VM that comes later displaces none. */
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
    // A loop that has no room now is told at the next look.
    if (this.#options.tell(this.#found)) this.#told = key;
  }

  #warn(message: string, fields: Readonly<Record<string, string | number>>): void {
    if (this.#lines++ < MOST_LINES) this.#log.warn(message, fields);
  }
}

/**
 * Whether this process may open other users' sockets and look into their processes, as the systemd unit lets
 * it.
 */
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
