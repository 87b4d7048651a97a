/**
 * Coming back to a daemon that went away: attempts at a growing distance, until one succeeds, one fails for
 * good, or it is told to stop. It knows nothing of connections: the attempt is a function that it is given.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";

/** How soon, and how seldom at last, it is tried to come back. */
export interface ReconnectOptions {
  /** Time before the first attempt, ms; 100 unless told. Each further one waits twice as long. */
  readonly firstMs?: number;
  /** The longest time between two attempts, ms; 5,000 unless told. */
  readonly mostMs?: number;
  /** Told when the daemon has gone: why, as a fault. */
  readonly onAway?: (fault: Fault) => void;
}

const FIRST_MS = 100;
const MOST_MS = 5000;
const LONGEST_MS = 86_400_000;

/** What an attempt may fail with and be tried again: there is no daemon (yet), or it has no place (yet). */
const PASSING: ReadonlySet<string> = new Set(["unreachable", "timed-out", "busy", "shutting-down"]);

/**
 * Looks whether a pace can be kept.
 *
 * @throws {Fault} `bad-argument`
 */
export function checkPace({ firstMs = FIRST_MS, mostMs = MOST_MS }: ReconnectOptions): void {
  if (firstMs > 0 && mostMs >= firstMs && mostMs <= LONGEST_MS) return;
  throw new Fault(
    "bad-argument",
    `Cannot come back every ${firstMs} to ${mostMs} ms: the first must be above 0, the other not below it, and neither above a day`,
  );
}

/** One way back. */
export class Reconnector {
  readonly #attempt: () => Promise<void>;
  readonly #firstMs: number;
  readonly #mostMs: number;
  #attempts = 0;
  #stopped = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pause: PromiseWithResolvers<void> | undefined;

  /**
   * Tries nothing yet.
   *
   * @param attempt resolves when it is back, rejects with a fault that says why not
   */
  constructor(attempt: () => Promise<void>, { firstMs = FIRST_MS, mostMs = MOST_MS }: ReconnectOptions) {
    this.#attempt = attempt;
    this.#firstMs = firstMs;
    this.#mostMs = mostMs;
  }

  /** Attempts that were begun. */
  get attempts(): number {
    return this.#attempts;
  }

  /**
   * Tries until it is back.
   *
   * @returns undefined when it is back or was stopped; else the fault for which it is tried no more
   */
  async run(): Promise<Fault | undefined> {
    assert(this.#attempts === 0, "a way back is gone once");
    for (let waitMs = this.#firstMs; !this.#stopped; waitMs = Math.min(2 * waitMs, this.#mostMs)) {
      await this.#wait(waitMs);
      if (this.#stopped) break;
      this.#attempts++;
      try {
        await this.#attempt();
        return undefined;
      } catch (error) {
        if (this.#stopped) break;
        if (!(error instanceof Fault)) {
          return new Fault("refused", `Cannot come back to the daemon: ${messageOf(error)}`, {
            cause: error,
          });
        }
        if (!PASSING.has(error.code)) return error;
      }
    }
    return undefined;
  }

  /** Tries no more; an attempt that is under way is its maker's to end. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#pause?.resolve();
  }

  async #wait(ms: number): Promise<void> {
    this.#pause = Promise.withResolvers();
    this.#timer = setTimeout(this.#pause.resolve, ms);
    await this.#pause.promise;
  }
}
