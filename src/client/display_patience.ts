/**
 * Decides when to ask for a VM's pictures: not before its FRAME seam is up, and after a failure at growing
 * intervals, until a picture arrives or the seam changes. So a VM that is not there, is being attached or has
 * no display costs the daemon nothing, and adds no lines to its audit trail.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { SOURCE, sourceName } from "../event/source.ts";
import type { Client } from "./client.ts";
import { pause } from "./pause.ts";
import type { EndpointRef } from "./roster_view.ts";

/** The first and the longest pause after a failure, ms. */
const FIRST_REST_MS = 1000;
const LONGEST_REST_MS = 30_000;
const SEAM = sourceName(SOURCE.FRAME).toLowerCase();

/** The retry state of one VM's viewer. */
export class DisplayPatience {
  readonly #client: Client;
  readonly #ref: EndpointRef;
  #restMs = FIRST_REST_MS;

  /**
   * For one VM's viewer.
   *
   * @param client must receive the source CORE
   */
  constructor(client: Client, ref: EndpointRef) {
    this.#client = client;
    this.#ref = ref;
  }

  /** A picture arrived: the next pause is short. */
  onPicture(): void {
    this.#restMs = FIRST_REST_MS;
  }

  /**
   * Waits until pictures may be requested.
   *
   * @param onAbsent called once with the reason, if that is not possible now
   * @throws {Fault} when the client ends; returns when aborted
   */
  async untilThere(signal: AbortSignal, onAbsent: (why: string) => void): Promise<void> {
    if (this.#isThere || signal.aborted) return;
    onAbsent(this.#whyAbsent());
    await this.#until(() => this.#isThere, signal);
  }

  /** Waits after a failure, at most until the seam goes up or down. */
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
      // There is no connection, so the roster cannot change.
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
      // Events from before the stream was opened are in the roster already.
      if (holds()) return;
      for await (const _ of stream) if (signal.aborted || holds()) return;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }
}
