/**
 * A machine's serial console as a test uses it: opened with the first look, from what the daemon has kept or
 * from now on.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { EndpointId } from "../base/ids.ts";
import type { Client } from "../client/client.ts";
import { ConsoleControl, type ConsoleOptions, type Expected } from "../client/console_control.ts";
import { pause } from "../client/pause.ts";
import type { TimeBudget } from "./machine_options.ts";

/** Pause between tries, ms. */
const TRY_MS = 50;

/** A machine's console. */
export class MachineConsole implements AsyncDisposable {
  readonly #client: Client;
  readonly #endpoint: EndpointId;
  readonly #options: ConsoleOptions;
  readonly #budget: TimeBudget;
  readonly #attempt: <T>(what: () => string, step: () => Promise<T>) => Promise<T>;
  #control: Promise<ConsoleControl> | undefined;

  /** Made by `Machine`; `attempt` leaves evidence when a step fails. */
  constructor(
    { client, endpoint }: { readonly client: Client; readonly endpoint: EndpointId },
    options: ConsoleOptions,
    budget: TimeBudget,
    attempt: <T>(what: () => string, step: () => Promise<T>) => Promise<T>,
  ) {
    this.#client = client;
    this.#endpoint = endpoint;
    this.#options = options;
    this.#budget = budget;
    this.#attempt = attempt;
  }

  /** Opens it, so that what comes from now on is kept for {@linkcode expect}. */
  async open(): Promise<void> {
    await this.#attempt(() => "open the console", () => this.#opened());
  }

  /**
   * Waits for a text.
   *
   * @throws {MachineFault} `timed-out`, with the end of what came instead; `seam-down`, `busy`, …
   */
  async expect(wanted: string | RegExp, options: { readonly timeoutMs?: number } = {}): Promise<Expected> {
    return await this.#attempt(() => `wait for ${JSON.stringify(`${wanted}`)} on the console`, async () => {
      const timeoutMs = this.#budget.take(options.timeoutMs);
      return await (await this.#opened()).expect(wanted, { timeoutMs });
    });
  }

  /** Sends text, under the console's lease. */
  async send(text: string, options: { readonly timeoutMs?: number } = {}): Promise<void> {
    await this.#attempt(() => `send ${JSON.stringify(text)} to the console`, async () => {
      const timeoutMs = this.#budget.take(options.timeoutMs);
      await (await this.#opened()).send(text, { timeoutMs });
    });
  }

  /** Leaves it to others. */
  async [Symbol.asyncDispose](): Promise<void> {
    const control = await this.#control?.catch(() => undefined);
    this.#control = undefined;
    await control?.[Symbol.asyncDispose]();
  }

  async #opened(): Promise<ConsoleControl> {
    this.#control ??= this.#openAsSoonAsKnown();
    try {
      return await this.#control;
    } catch (error) {
      // The next step tries anew.
      this.#control = undefined;
      throw error;
    }
  }

  /** A VM is in the roster, and up, before its monitor has told which consoles it has. */
  async #openAsSoonAsKnown(): Promise<ConsoleControl> {
    const endMs = performance.now() + this.#budget.take(undefined);
    for (;;) {
      try {
        return await ConsoleControl.open(this.#client, this.#endpoint, this.#options);
      } catch (error) {
        const state = this.#client.roster.get(this.#endpoint)?.state;
        const isEarly = error instanceof Fault && error.code === "seam-down" &&
          (state === "up" || state === "attaching");
        if (!isEarly || performance.now() >= endMs) throw error;
        await pause(TRY_MS, undefined);
      }
    }
  }
}
