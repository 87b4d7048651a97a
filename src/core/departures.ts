/**
 * Controls that have left or lost a seam, and the moment at which adapters are told that one has left: after
 * its last command, which may still be queued (paced, or behind a command that stops the VM). Otherwise a
 * late command would renew a request that the adapter has already dropped.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { ControlId, EndpointId } from "../base/ids.ts";
import { type Grant, maskHas } from "../access/grant.ts";
import { losesCommands } from "../access/requirement.ts";
import type { TransferContext } from "../context/transfer_context.ts";
import { DIR } from "../event/defaults.ts";
import type { Source } from "../event/source.ts";
import type { ControlSlot } from "./control_slot.ts";
import type { Endpoints } from "./endpoints.ts";

/** Whether a grant includes a seam. */
export function sees(grant: Grant, endpoint: EndpointId, source: Source): boolean {
  return maskHas(grant.endpoints, endpoint) && (grant.sources & (1 << source)) !== 0;
}

/** Whether a changed grant removes a seam, or the right to some command of it. */
export function hasLost(before: Grant, after: Grant, endpoint: EndpointId, source: Source): boolean {
  return sees(before, endpoint, source) &&
    (!sees(after, endpoint, source) || losesCommands(source, before.caps, after.caps));
}

/** Controls that have left and about which the adapters have not been told yet. */
export class Departures {
  readonly #context: TransferContext;
  readonly #endpoints: Endpoints;
  #waiting: ControlSlot[] = [];

  /** Starts with none. */
  constructor(context: TransferContext, endpoints: Endpoints) {
    this.#context = context;
    this.#endpoints = endpoints;
  }

  /** Records that a control has left; {@linkcode tell} tells the adapters. */
  add(slot: ControlSlot): void {
    assert(slot.leaving, "who departs has left");
    this.#waiting.push(slot);
  }

  /** Tells the adapters about controls whose last command was handed over or answered. */
  tell(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const slot of waiting) {
      if (this.#mayStillCome(slot.id)) this.#waiting.push(slot);
      else this.#endpoints.controlGone(slot.id, (endpoint, source) => sees(slot.grant, endpoint, source));
    }
  }

  #mayStillCome(control: ControlId): boolean {
    return this.#endpoints.holds(control) ||
      this.#context.some(DIR.DOWN, (event) => event.origin === control);
  }
}
