/**
 * How each VM's memory stands, as far as its events tell: whether a context holds, and if none does, what the
 * daemon said of the cause. The daemon keeps both for who comes later (the context, and the newest ERROR of
 * the memory seam), so a cause that is known is known at once.
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

/** Why there is no context, in the daemon's words. */
export interface MemoryTrouble {
  /** Its code's name: "not-supported". */
  readonly code: string;
  /** "no known guest system in RAM". */
  readonly text: string;
  /** Whether it is that QEMU's monitor cannot be had; ERROR.detail is SEAM_DOWN's reason then. */
  readonly isOfMonitor: boolean;
}

/** Asks a VM's host about its memory. @throws {Fault} with the host's code; `timed-out` */
export type MemoryElsewhere = (
  endpoint: EndpointId,
  question: Readonly<Record<string, unknown>>,
  timeoutMs: number,
) => Promise<Readonly<Record<string, unknown>>>;

/** The memory of all endpoints. */
export class MemoryView {
  readonly #contexts = new Set<number>();
  readonly #troubles = new Map<number, MemoryTrouble>();
  /** Endpoints that are up: what was said of a monitor that was not there is over. */
  readonly #up = new Set<number>();

  /** Asks the host of a VM about its memory, when that is another one: set by the way there. */
  elsewhere: MemoryElsewhere | undefined;

  /** Whether an endpoint has a context: its RAM is there, and its system was found (or is not looked for). */
  hasContext(endpoint: EndpointId): boolean {
    return this.#contexts.has(endpoint);
  }

  /** Why an endpoint has none, as far as the daemon has said so. */
  trouble(endpoint: EndpointId): MemoryTrouble | undefined {
    return this.#troubles.get(endpoint);
  }

  /** Forgets everything: another daemon tells what it knows. */
  clear(): void {
    this.#contexts.clear();
    this.#troubles.clear();
    this.#up.clear();
  }

  /** Takes an event in. */
  update(event: ClientEvent): void {
    const { endpoint, kind } = event;
    if (kind === KIND.ROSTER) this.#onRoster(endpoint, event.as("ROSTER")?.state);
    else if (kind === KIND.VM_LIFECYCLE) {
      // What runs after a reset is looked at anew.
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
        // A flood that is folded, and the words of a refused write, say nothing of the seam.
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
