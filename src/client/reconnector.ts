/**
 * Reconnects to a daemon that was lost: attempts at growing intervals, until one succeeds, one fails for
 * good, or it is stopped. It knows nothing of connections: the attempt is a function that it is given.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";

/** Intervals of the attempts to reconnect. */
export interface ReconnectOptions {
  /** Pause before the first attempt, ms; by default 100. Each further pause is twice as long. */
  readonly firstMs?: number;
  /** The longest pause between two attempts, ms; by default 5,000. */
  readonly mostMs?: number;
  /** Called when the daemon was lost, with the reason as a fault. */
  readonly onAway?: (fault: Fault) => void;
}

const FIRST_MS = 100;
const MOST_MS = 5000;
const LONGEST_MS = 86_400_000;

/** Failures after which an attempt is repeated: there is no daemon yet, or it has no place yet. */
const PASSING: ReadonlySet<string> = new Set(["unreachable", "timed-out", "busy", "shutting-down"]);

/**
 * Checks the intervals.
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

/** One series of attempts. */
export class Reconnector {
  readonly #attempt: () => Promise<void>;
  readonly #firstMs: number;
  readonly #mostMs: number;
  #attempts = 0;
  #stopped = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pause: PromiseWithResolvers<void> | undefined;

  /**
   * Starts without an attempt.
   *
   * @param attempt resolves when connected, rejects with a fault that gives the reason
   */
  constructor(attempt: () => Promise<void>, { firstMs = FIRST_MS, mostMs = MOST_MS }: ReconnectOptions) {
    this.#attempt = attempt;
    this.#firstMs = firstMs;
    this.#mostMs = mostMs;
  }

  /** Number of attempts begun. */
  get attempts(): number {
    return this.#attempts;
  }

  /**
   * Tries until it is connected.
   *
   * @returns undefined when it is connected or was stopped; otherwise the fault after which it does not try
   *   again
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

  /** Stops trying; an attempt that is under way must be ended by its maker. */
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
