/**
 * The loop's place among the machine's threads. Its turns are short, but an ordinary thread that wakes another one (a control, a QEMU) may be put aside for it at once, for a
 * scheduler tick: of the turns over 2 ms in a soak on 2 cores, two thirds did nothing but wait so (4 ms at 250 Hz). So the loop runs as SCHED_RR where it may.
 *
 * What is realtime must be idle most of the time. A loop that is busy for more than half of a while goes back among the ordinary threads until it is busy for less than a quarter of
 * one: controls that flood it take a fair share of a core from the VMs, not all of one.
 * @module
 */

/** Over which time the load is judged, ns. */
const WINDOW_NS = 100_000_000;
const YIELD_ABOVE = 0.5;
const RETURN_BELOW = 0.25;

/** Makes the calling thread realtime, or ordinary again; false when it may not. */
export type SetRealtime = (realtime: boolean) => boolean;

/** Keeps a loop's thread realtime while it is mostly idle. */
export class LoopPriority {
  readonly #set: SetRealtime;
  /** False once it was refused: it is not asked for again. */
  #permitted: boolean;
  #realtime: boolean;
  #sinceNs: number;
  #busyNs = 0;

  /** Makes the calling thread realtime, if it may be. */
  constructor(set: SetRealtime, nowNs: number) {
    this.#set = set;
    this.#sinceNs = nowNs;
    this.#permitted = this.#realtime = set(true);
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
  note(busyNs: number, nowNs: number): void {
    this.#busyNs += busyNs;
    const elapsedNs = nowNs - this.#sinceNs;
    if (elapsedNs >= WINDOW_NS) this.#judge(elapsedNs, nowNs);
  }

  #judge(elapsedNs: number, nowNs: number): void {
    const load = this.#busyNs / elapsedNs;
    this.#busyNs = 0;
    this.#sinceNs = nowNs;
    if (!this.#permitted) return;
    const realtime = this.#realtime ? load <= YIELD_ABOVE : load < RETURN_BELOW;
    if (realtime === this.#realtime) return;
    this.#permitted = this.#set(realtime);
    this.#realtime = realtime && this.#permitted;
  }
}
