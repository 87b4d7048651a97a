/**
 * Which VMs `vmsig record --memory` has no copy of, and why: the daemon announces no memory context for a VM
 * whose RAM is not shared, or in which no system was found, and then there is nothing to copy.
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";
import { oneLine } from "../../base/printable.ts";
import { ROSTER_STATE } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import type { ClientEvent } from "../client_event.ts";
import type { MemoryView } from "../memory_view.ts";
import type { RosterEntry } from "../roster_view.ts";

/** A VM whose memory was not copied. */
export interface Uncopied {
  /** Its name. */
  readonly name: string;
  /** The reason. */
  readonly why: string;
}

/** Follows the VMs of a recording. */
export class UncopiedMemory {
  readonly #memory: MemoryView;
  readonly #names = new Map<EndpointId, string>();
  readonly #copied = new Set<EndpointId>();
  readonly #left: Uncopied[] = [];

  /**
   * Begins with the existing VMs.
   *
   * @param memory what the daemon has reported about their memory
   */
  constructor(memory: MemoryView, roster: readonly Pick<RosterEntry, "endpoint" | "name">[]) {
    this.#memory = memory;
    for (const { endpoint, name } of roster) this.#names.set(endpoint, name);
  }

  /** Processes an event: VMs come and go. */
  update(event: ClientEvent): void {
    if (event.kind !== KIND.ROSTER) return;
    const { endpoint } = event;
    const entry = event.as("ROSTER");
    if (entry === undefined) return;
    if (entry.state !== ROSTER_STATE.GONE) return void this.#names.set(endpoint, entry.name);
    const name = this.#names.get(endpoint);
    const why = "it was detached before a memory context was announced";
    if (name !== undefined && !this.#copied.delete(endpoint)) this.#left.push({ name, why });
    this.#names.delete(endpoint);
  }

  /** The memory of a VM was copied. */
  copied(endpoint: EndpointId): void {
    this.#copied.add(endpoint);
  }

  /** The VMs without a copy; detached ones first. */
  list(): Uncopied[] {
    const rest = [...this.#names].filter(([endpoint]) => !this.#copied.has(endpoint));
    return [...this.#left, ...rest.map(([endpoint, name]) => ({ name, why: this.#whyNot(endpoint) }))];
  }

  #whyNot(endpoint: EndpointId): string {
    const text = this.#memory.trouble(endpoint)?.text ?? "";
    return text === "" ? "no memory context was announced" : oneLine(text);
  }
}
