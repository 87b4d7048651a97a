/**
 * When to ask for a VM's pictures: not before its FRAME seam is up, as the roster tells, and after a failure
 * less and less often, until a picture comes or the seam goes or comes. A VM that is not there, is being
 * attached or has no display costs the daemon nothing, and its audit trail no line.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { SOURCE, sourceName } from "../event/source.ts";
import type { Client } from "./client.ts";
import { pause } from "./pause.ts";
import type { EndpointRef } from "./roster_view.ts";

/** The first rest after a failure, and the longest, ms. */
const FIRST_REST_MS = 1000;
const LONGEST_REST_MS = 30_000;
const SEAM = sourceName(SOURCE.FRAME).toLowerCase();

/** The patience of who shows one VM. */
export class DisplayPatience {
  readonly #client: Client;
  readonly #ref: EndpointRef;
  #restMs = FIRST_REST_MS;

  /**
   * Of one VM's viewer.
   *
   * @param client receives CORE
   */
  constructor(client: Client, ref: EndpointRef) {
    this.#client = client;
    this.#ref = ref;
  }

  /** A picture came: the next rest is short. */
  onPicture(): void {
    this.#restMs = FIRST_REST_MS;
  }

  /**
   * Waits until there is something to ask.
   *
   * @param onAbsent told once why not, when that is not now
   * @throws {Fault} when the client ends; returns when it is aborted
   */
  async untilThere(signal: AbortSignal, onAbsent: (why: string) => void): Promise<void> {
    if (this.#isThere || signal.aborted) return;
    onAbsent(this.#whyAbsent());
    await this.#until(() => this.#isThere, signal);
  }

  /** Rests after a failure; not for longer than the seam stays up, or down. */
  async rest(signal: AbortSignal): Promise<void> {
    assert(this.#restMs >= FIRST_REST_MS, "a rest is never none");
    const wasThere = this.#isThere;
    const ending = new AbortController();
    const end = () => ending.abort();
    const timer = setTimeout(end, this.#restMs);
    signal.addEventListener("abort", end, { once: true });
    this.#restMs = Math.min(2 * this.#restMs, LONGEST_REST_MS);
    try {
      if (!signal.aborted) await this.#until(() => this.#isThere !== wasThere, ending.signal);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      // There is no connection: nothing will be told.
      await pause(FIRST_REST_MS, signal);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
    }
  }

  get #isThere(): boolean {
    const endpoint = this.#client.roster.find(this.#ref);
    return endpoint !== undefined && this.#client.roster.get(endpoint)?.seams.includes(SEAM) === true;
  }

  #whyAbsent(): string {
    const { roster } = this.#client;
    const endpoint = roster.find(this.#ref);
    if (endpoint === undefined) return `Cannot show the screen: ${roster.absent(this.#ref)}`;
    const state = roster.get(endpoint)?.state ?? "";
    return `Cannot show the screen of ${roster.nameOf(endpoint)}: ` +
      (state === "up" ? "it has no display" : `the VM is ${state}`);
  }

  /** Waits until the roster says so. */
  async #until(holds: () => boolean, signal: AbortSignal): Promise<void> {
    await using stream = this.#client.events({ kinds: ["ROSTER"] });
    const stop = () => stream.end();
    signal.addEventListener("abort", stop, { once: true });
    try {
      // What came before the stream was opened is in the roster already.
      if (holds()) return;
      for await (const _ of stream) if (signal.aborted || holds()) return;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }
}
