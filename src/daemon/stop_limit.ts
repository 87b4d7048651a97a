/**
 * How long an orderly stop may take before the process ends without it: a time in which the daemon could have
 * done it. On a machine that gives its threads no processor they are waited for, since what is held in a VM
 * is released by them; what hangs is not.
 *
 * The kernel tells for each thread how long it was ready and had no processor: the second number of
 * /proc/self/task/TID/schedstat, ns (Documentation/scheduler/sched-stats.rst).
 * @module
 */
import { assert } from "../base/assert.ts";

/** Of time with a processor, ms. */
const LIMIT_MS = 1900;
/** Of any time, ms: well below the 90 s of systemd. */
const MOST_MS = 30_000;
const LOOK_MS = 100;

/** What the limit looks at. */
export interface StopLimitOptions {
  /** A monotonic clock, ms. */
  readonly nowMs: () => number;
  /** How long each thread has waited for a processor so far, ms, by its number. */
  readonly waits: () => ReadonlyMap<string, number>;
}

/** Counts the time of a stop. */
export class StopLimit {
  readonly #options: StopLimitOptions;
  readonly #startMs: number;
  #lastMs: number;
  #waits: ReadonlyMap<string, number>;
  #countedMs = 0;

  /** Begins to count. */
  constructor(options: StopLimitOptions) {
    this.#options = options;
    this.#startMs = this.#lastMs = options.nowMs();
    this.#waits = options.waits();
  }

  /** Counts the time since the last look; whether it is over. */
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

/** How long the threads of this process have waited; none where the kernel does not tell. */
export function threadWaits(): ReadonlyMap<string, number> {
  const waits = new Map<string, number>();
  try {
    for (const { name } of Deno.readDirSync("/proc/self/task")) {
      const ms = waitOf(name);
      if (ms !== undefined) waits.set(name, ms);
    }
  } catch {
    // No /proc, or no descriptor left to look at it: then all of the time counts.
  }
  return waits;
}

function waitOf(thread: string): number | undefined {
  try {
    const words = Deno.readTextFileSync(`/proc/self/task/${thread}/schedstat`).split(" ");
    const ms = Number(words[1]) / 1e6;
    return Number.isFinite(ms) ? ms : undefined;
  } catch {
    // It has ended meanwhile.
    return undefined;
  }
}
