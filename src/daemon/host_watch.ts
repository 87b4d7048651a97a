/**
 * Looks every few seconds which QEMUs run here, and tells the loop's thread of those that offer a free monitor (`discovery.probe`). On the main thread, because /proc of a large host takes
 * longer than the loop may stand still. A process that was no QEMU is not looked at again.
 * @module
 */
import { messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import { type HostView, probeHost } from "../roster/host_probe.ts";
import { ProcHost } from "../roster/proc_host.ts";

const PERIOD_MS = 5000;
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

/** Watches the host's processes. */
export class HostWatch implements Disposable {
  readonly #view = new RememberingHost();
  readonly #tell: (found: readonly FoundVm[]) => void;
  readonly #log: Log;
  #timer: ReturnType<typeof setInterval> | undefined;
  #last = "";

  /**
   * Looks at nothing yet.
   *
   * @param tell called with every QEMU that runs, when that has changed
   */
  constructor(tell: (found: readonly FoundVm[]) => void, log: Log) {
    this.#tell = tell;
    this.#log = log;
  }

  /** Looks now, and every five seconds from now on. */
  start(): void {
    this.look();
    this.#timer = setInterval(() => this.look(), PERIOD_MS);
    Deno.unrefTimer(this.#timer);
  }

  /** Looks once. */
  look(): void {
    try {
      this.#look();
    } catch (error) {
      // Without a look at the host the daemon still serves what the config and the trigger directory name.
      this.#log.error(`cannot look for VMs: ${messageOf(error)}`);
      this[Symbol.dispose]();
    }
  }

  #look(): void {
    const ownUid = Deno.uid();
    const reachesOthers = ownUid === 0 || hasCapabilities();
    const found = probeHost(this.#view)
      // Another user's VM is out of reach, unless we are root or have been given what it takes.
      .filter((vm) => reachesOthers || vm.uid === ownUid)
      .map(({ pid, name, qmp, memory }) => ({
        pid,
        name,
        qmp,
        hasMemory: !/private/.test(memory),
      }));
    const key = JSON.stringify(found);
    if (key === this.#last) return;
    this.#last = key;
    this.#tell(found);
  }
  /** Looks no more. */

  [Symbol.dispose](): void {
    if (this.#timer !== undefined) clearInterval(this.#timer);
  }
}

/** /proc, without the processes that are known to be something else. */
class RememberingHost implements HostView {
  readonly #host = new ProcHost();
  #others = new Set<number>();

  pids(): number[] {
    const all = this.#host.pids();
    const others = new Set<number>();
    for (const pid of all) if (this.#others.has(pid)) others.add(pid);
    this.#others = others;
    return all.filter((pid) => !others.has(pid));
  }

  exe(pid: number): string {
    const path = this.#host.exe(pid);
    // A process that is just being started may still be its parent's program: only long-lived ones are remembered.
    if (path !== "" && !/qemu|kvm/.test(path) && isSettled(path)) this.#others.add(pid);
    return path;
  }

  args(pid: number): string[] {
    return this.#others.has(pid) ? [] : this.#host.args(pid);
  }

  uid(pid: number): number {
    return this.#host.uid(pid);
  }

  cwd(pid: number): string {
    return this.#host.cwd(pid);
  }

  unixSockets(): string {
    return this.#host.unixSockets();
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
