/**
 * Fan-out: who gets an UP event. An event with an origin reaches that control alone; any other one reaches every control whose subscription and grant
 * admit it. Controls are listed per endpoint, so that an event costs as many comparisons as its own endpoint has watchers, however many
 * endpoints there are.
 *
 * Retained events are noted here, at delivery: who subscribed before gets the event live, who comes after gets it by replay, nobody gets it
 * twice or not at all.
 * @module
 */
import { type Grant, maskHas } from "../access/grant.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import { KIND, KIND_MAX } from "../event/kind.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { ControlSlot } from "./control_slot.ts";
import type { Retained } from "./retained.ts";

/** Delivers UP events. */
export class FanOut {
  readonly #controls = new Map<number, ControlSlot>();
  readonly #byEndpoint: ControlSlot[][] = Array.from({ length: MAX_ENDPOINTS }, () => []);
  readonly #retained: Retained;
  /** Controls that were given something this turn. */
  #dirty: ControlSlot[] = [];
  /** Delivered events by kind, for the metrics. */
  readonly delivered: Float64Array = new Float64Array(KIND_MAX);

  /** Starts without controls. */
  constructor(retained: Retained) {
    this.#retained = retained;
  }

  /** Controls on the bus. */
  get controls(): ReadonlyMap<number, ControlSlot> {
    return this.#controls;
  }

  /** How many of them receive AUDIT. */
  get auditors(): number {
    let count = 0;
    for (const slot of this.#controls.values()) if (slot.isAuditor) count++;
    return count;
  }

  /** Adds a control; what is retained follows by {@linkcode replay}. */
  add(slot: ControlSlot): void {
    this.#controls.set(slot.id, slot);
    this.#index(slot);
  }

  /** Takes a control off. */
  remove(slot: ControlSlot): void {
    this.#controls.delete(slot.id);
    this.#unindex(slot);
  }

  /** Changes a control's grant; what is retained and was out of its reach until now is replayed to it. */
  regrant(slot: ControlSlot, grant: Grant): void {
    const { endpoints, sources, caps } = slot.grant;
    const seesTheSame = grant.endpoints.lo === endpoints.lo && grant.endpoints.hi === endpoints.hi &&
      grant.sources === sources && grant.caps === caps;
    // Only its standing among others changes: with a thousand controls, looking at each one's index would hold the loop up.
    if (seesTheSame) return slot.regrant(grant);
    const known = new Set<TransferEvent>();
    this.#retained.replay((event) => {
      if (slot.admits(event)) known.add(event);
    });
    slot.regrant(grant);
    this.#unindex(slot);
    this.#index(slot);
    this.#retained.replay((event) => {
      if (!known.has(event) && slot.admits(event)) this.#give(slot, event);
    });
  }

  /** A command of a control was settled though nothing is delivered to it: it may read on, and is flushed at the end of this turn. */
  settleSilently(control: number): void {
    const slot = this.#controls.get(control);
    if (slot === undefined) return;
    slot.outstanding--;
    this.#markDirty(slot);
  }

  /** Gives a control what is retained and admitted: ROSTER, then MEMCTX, then FRAME_RING. */
  replay(slot: ControlSlot): void {
    this.#retained.replay((event) => {
      if (slot.admits(event)) this.#give(slot, event);
    });
  }

  /** Delivers one event. Borrowed. */
  deliver(event: TransferEvent): void {
    this.delivered[event.kind]!++;
    if (event.origin !== 0) {
      const slot = this.#controls.get(event.origin);
      if (slot === undefined) return;
      if (event.ticket !== 0) slot.outstanding--;
      this.#give(slot, event);
      return;
    }
    this.#retained.note(event);
    if (event.kind === KIND.MEMCTX_INVALIDATED) this.#retained.drop(KIND.MEMCTX, event.endpoint);
    if (event.endpoint < MAX_ENDPOINTS) {
      const slots = this.#byEndpoint[event.endpoint] as ControlSlot[];
      // One that is added by a callback of this very loop got the event by replay, if it is for it.
      for (let i = 0, count = slots.length; i < count; i++) {
        const slot = slots[i];
        if (slot !== undefined && slot.wants(event)) this.#give(slot, event);
      }
    } else for (const slot of this.#controls.values()) if (slot.wants(event)) this.#give(slot, event);
  }

  /** Lets every control that was given something send it, in one batch each. */
  flush(): void {
    if (this.#dirty.length === 0) return;
    const dirty = this.#dirty;
    this.#dirty = [];
    for (let i = 0; i < dirty.length; i++) {
      const slot = dirty[i] as ControlSlot;
      slot.dirty = false;
      if (!slot.leaving) slot.control.flush?.();
    }
    // The array is used again: a busy loop makes no garbage here.
    dirty.length = 0;
    if (this.#dirty.length === 0) this.#dirty = dirty;
  }

  #give(slot: ControlSlot, event: TransferEvent): void {
    if (slot.leaving) return;
    slot.control.deliver(event);
    this.#markDirty(slot);
  }

  #markDirty(slot: ControlSlot): void {
    if (slot.dirty) return;
    slot.dirty = true;
    this.#dirty.push(slot);
  }

  #index(slot: ControlSlot): void {
    for (let endpoint = 0; endpoint < MAX_ENDPOINTS; endpoint++) {
      if (maskHas(slot.endpoints, endpoint)) (this.#byEndpoint[endpoint] as ControlSlot[]).push(slot);
    }
  }

  #unindex(slot: ControlSlot): void {
    for (const slots of this.#byEndpoint) {
      const index = slots.indexOf(slot);
      if (index >= 0) slots.splice(index, 1);
    }
  }
}
