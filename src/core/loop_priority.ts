/**
 * The loop's place among the machine's threads. Its turns are short, but an ordinary thread that wakes
 * another one (a control, a QEMU) may be put aside for it at once, for a scheduler tick: of the turns over 2
 * ms in a soak on 2 cores, two thirds did nothing but wait so (4 ms at 250 Hz). So the loop runs as SCHED_RR
 * where it may.
 *
 * What is realtime must be idle most of the time. A loop that computes for more than 85 % of a second goes
 * back among the ordinary threads until it does so for less than half of one (an event for a thousand
 * controls is 5 ms of work, which comes in bursts): controls that flood it take a fair share of a core from
 * the VMs, not all of one. Its processor time counts, not how long its turns took: who waits for a processor
 * must not lose its place for that.
 * @module
 */
import { assert } from "../base/assert.ts";

/** Over which time the load is judged, ns. */
const WINDOW_NS = 1_000_000_000;
const YIELD_ABOVE = 0.85;
const RETURN_BELOW = 0.5;

/** The scheduling of the calling thread. */
export interface ThreadScheduling {
  /** Makes it realtime, or ordinary again; false when it may not. */
  setRealtime(realtime: boolean): boolean;
  /** Its processor time so far, ns. */
  cpuNs(): number;
}

/** Keeps a loop's thread realtime while it is mostly idle. */
export class LoopPriority {
  readonly #thread: ThreadScheduling;
  /** False once it was refused: it is not asked for again. */
  #permitted: boolean;
  #realtime: boolean;
  #sinceNs: number;
  #sinceCpuNs: number;

  /** Makes the calling thread realtime, if it may be. */
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

  /** A turn is over: called on the loop's thread. */
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
