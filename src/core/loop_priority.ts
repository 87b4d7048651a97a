/**
 * The scheduling priority of the loop's thread. Its turns are short, but the kernel may preempt an ordinary
 * thread in favour of one that it wakes (a control, a QEMU), for a scheduler tick: in a soak on 2 cores, two
 * thirds of the turns over 2 ms only waited for a processor (4 ms at 250 Hz). So the loop runs as SCHED_RR
 * where it is allowed to.
 *
 * A realtime thread must be idle most of the time. A loop that uses more than 85 % of a processor over one
 * second returns to normal scheduling until it uses less than half (an event for a thousand controls is 5 ms
 * of work, which comes in bursts): controls that flood it then take a fair share of a core from the VMs, and
 * not all of one. Processor time is measured rather than the duration of turns, because a thread that waits
 * for a processor must not lose its priority for that.
 * @module
 */
import { assert } from "../base/assert.ts";

/** Period over which the load is measured, ns. */
const WINDOW_NS = 1_000_000_000;
const YIELD_ABOVE = 0.85;
const RETURN_BELOW = 0.5;

/** The scheduling of the calling thread. */
export interface ThreadScheduling {
  /** Makes the thread realtime, or normal again; false when it is not allowed. */
  setRealtime(realtime: boolean): boolean;
  /** Processor time used so far, ns. */
  cpuNs(): number;
}

/** Keeps a loop's thread realtime while it is mostly idle. */
export class LoopPriority {
  readonly #thread: ThreadScheduling;
  /** False once it was refused: then it is not tried again. */
  #permitted: boolean;
  #realtime: boolean;
  #sinceNs: number;
  #sinceCpuNs: number;

  /** Makes the calling thread realtime, if allowed. */
  constructor(thread: ThreadScheduling, nowNs: number) {
    this.#thread = thread;
    this.#sinceNs = nowNs;
    this.#sinceCpuNs = thread.cpuNs();
    this.#permitted = this.#realtime = thread.setRealtime(true);
  }

  /** Whether this process may have realtime threads. */
  get permitted(): boolean {
    return this.#permitted;
  }

  /** Whether the thread is realtime now. */
  get realtime(): boolean {
    return this.#realtime;
  }

  /** Called on the loop's thread at the end of a turn. */
  note(nowNs: number): void {
    if (this.#permitted && nowNs - this.#sinceNs >= WINDOW_NS) this.#judge(nowNs);
  }

  #judge(nowNs: number): void {
    const cpuNs = this.#thread.cpuNs();
    assert(cpuNs >= this.#sinceCpuNs, "the loop's own thread is asked: its processor time only grows");
    const load = (cpuNs - this.#sinceCpuNs) / (nowNs - this.#sinceNs);
    this.#sinceNs = nowNs;
    this.#sinceCpuNs = cpuNs;
    const realtime = this.#realtime ? load <= YIELD_ABOVE : load < RETURN_BELOW;
    if (realtime === this.#realtime) return;
    this.#permitted = this.#thread.setRealtime(realtime);
    this.#realtime = realtime && this.#permitted;
  }
}
