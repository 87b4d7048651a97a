/**
 * Limits an orderly stop to a time in which the daemon could have finished it; then the process ends without
 * it. Time in which its threads were ready but had no processor does not count, because stopping also
 * releases held keys in VMs; a hang counts.
 *
 * The kernel reports that time per thread, ns: the second number of /proc/self/task/TID/schedstat
 * (Documentation/scheduler/sched-stats.rst).
 * @module
 */
import { assert } from "../base/assert.ts";

/** Limit of time with a processor, ms. */
const LIMIT_MS = 1900;
/** Limit of total time, ms: well below systemd's 90 s. */
const MOST_MS = 30_000;
const LOOK_MS = 100;

/** Inputs of the limit. */
export interface StopLimitOptions {
  /** A monotonic clock, ms. */
  readonly nowMs: () => number;
  /** How long each thread has waited for a processor so far, ms, by thread id. */
  readonly waits: () => ReadonlyMap<string, number>;
}

/** Measures the duration of a stop. */
export class StopLimit {
  readonly #options: StopLimitOptions;
  readonly #startMs: number;
  #lastMs: number;
  #waits: ReadonlyMap<string, number>;
  #countedMs = 0;

  /** Starts measuring. */
  constructor(options: StopLimitOptions) {
    this.#options = options;
    this.#startMs = this.#lastMs = options.nowMs();
    this.#waits = options.waits();
  }

  /** Adds the time since the last call; returns whether the limit is exceeded. */
  isOver(): boolean {
    const nowMs = this.#options.nowMs();
    const waits = this.#options.waits();
    let waitedMs = 0;
    for (const [thread, ms] of waits) waitedMs = Math.max(waitedMs, ms - (this.#waits.get(thread) ?? ms));
    const passedMs = nowMs - this.#lastMs;
    assert(passedMs >= 0, "the clock is monotonic");
    this.#countedMs += Math.max(0, passedMs - waitedMs);
    this.#lastMs = nowMs;
    this.#waits = waits;
    return this.#countedMs >= LIMIT_MS || nowMs - this.#startMs >= MOST_MS;
  }
}

/** Ends the process with status 1 when its stop takes too long. */
export function limitStop(): void {
  const limit = new StopLimit({ nowMs: () => performance.now(), waits: threadWaits });
  Deno.unrefTimer(setInterval(() => {
    if (limit.isOver()) Deno.exit(1);
  }, LOOK_MS));
}

/** The waiting times of this process's threads; empty if the kernel does not report them. */
export function threadWaits(): ReadonlyMap<string, number> {
  const waits = new Map<string, number>();
  try {
    for (const { name } of Deno.readDirSync("/proc/self/task")) {
      const ms = waitOf(name);
      if (ms !== undefined) waits.set(name, ms);
    }
  } catch {
    // No /proc, or no descriptor to read it: then all of the time counts.
  }
  return waits;
}

function waitOf(thread: string): number | undefined {
  try {
    const words = Deno.readTextFileSync(`/proc/self/task/${thread}/schedstat`).split(" ");
    const ms = Number(words[1]) / 1e6;
    return Number.isFinite(ms) ? ms : undefined;
  } catch {
    // The thread has ended meanwhile.
    return undefined;
  }
}
