/**
 * How each VM's memory stands, according to its events: whether there is a valid context, and if not, the
 * daemon's reason. The daemon retains both for controls that join later (the context, and the newest ERROR of
 * the memory seam), so a known reason is available at once.
 *
 * It knows only what this control receives: the source MEMCTX in its subscription, MEMCTX and OBSERVE in its
 * grant.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { CODE, codeName } from "../base/codes.ts";
import { ROSTER_STATE, VM_STATE_NUMBER } from "../event/body_number.ts";
import { KIND } from "../event/kind.ts";
import { SOURCE } from "../event/source.ts";
import type { ClientEvent } from "./client_event.ts";

/** Why there is no context, as reported by the daemon. */
export interface MemoryTrouble {
  /** The name of its code: "not-supported". */
  readonly code: string;
  /** The text: "no known guest system in RAM". */
  readonly text: string;
  /** Whether QEMU's monitor is not available; ERROR.detail then holds the reason of SEAM_DOWN. */
  readonly isOfMonitor: boolean;
}

/** Queries a VM's host about its memory. @throws {Fault} with the host's code; `timed-out` */
export type MemoryElsewhere = (
  endpoint: EndpointId,
  question: Readonly<Record<string, unknown>>,
  timeoutMs: number,
) => Promise<Readonly<Record<string, unknown>>>;

/** The state of the memory of all endpoints. */
export class MemoryView {
  readonly #contexts = new Set<number>();
  readonly #troubles = new Map<number, MemoryTrouble>();
  /** Endpoints that are up: an earlier report of a missing monitor no longer holds. */
  readonly #up = new Set<number>();

  /** Queries the host of a VM about its memory, if that is another host; set by the link. */
  elsewhere: MemoryElsewhere | undefined;

  /**
   * Whether an endpoint has a context: its RAM is available, and its system was found (or is not looked for).
   */
  hasContext(endpoint: EndpointId): boolean {
    return this.#contexts.has(endpoint);
  }

  /** Why an endpoint has none, as far as the daemon has reported it. */
  trouble(endpoint: EndpointId): MemoryTrouble | undefined {
    return this.#troubles.get(endpoint);
  }

  /** Drops everything: a new daemon reports its own state. */
  clear(): void {
    this.#contexts.clear();
    this.#troubles.clear();
    this.#up.clear();
  }

  /** Processes an event. */
  update(event: ClientEvent): void {
    const { endpoint, kind } = event;
    if (kind === KIND.ROSTER) this.#onRoster(endpoint, event.as("ROSTER")?.state);
    else if (kind === KIND.VM_LIFECYCLE) {
      // After a reset another system may run.
      if (event.as("VM_LIFECYCLE")?.state === VM_STATE_NUMBER.RESET) this.#troubles.delete(endpoint);
    } else if (event.source === SOURCE.MEMCTX) this.#onMemory(event);
  }

  #onRoster(endpoint: EndpointId, state: number | undefined): void {
    this.#up.delete(endpoint);
    if (state === ROSTER_STATE.GONE) this.#forget(endpoint);
    else if (state === ROSTER_STATE.UP) {
      this.#up.add(endpoint);
      if (this.#troubles.get(endpoint)?.isOfMonitor === true) this.#troubles.delete(endpoint);
    }
  }

  #onMemory(event: ClientEvent): void {
    const { endpoint } = event;
    switch (event.kind) {
      case KIND.MEMCTX:
        this.#troubles.delete(endpoint);
        this.#contexts.add(endpoint);
        return;
      case KIND.MEMCTX_INVALIDATED:
        this.#contexts.delete(endpoint);
        return;
      case KIND.SEAM_UP:
      case KIND.SEAM_DOWN:
        return this.#forget(endpoint);
      case KIND.ERROR: {
        const body = event.as("ERROR");
        // A folded flood and the message of a refused write say nothing about the seam.
        if (body === undefined || body.code === CODE.dropped || this.#contexts.has(endpoint)) return;
        const isOfMonitor = body.detail !== 0;
        if (isOfMonitor && this.#up.has(endpoint)) return;
        this.#troubles.set(endpoint, { code: codeName(body.code), text: body.text, isOfMonitor });
      }
    }
  }

  #forget(endpoint: EndpointId): void {
    this.#contexts.delete(endpoint);
    this.#troubles.delete(endpoint);
  }
}
