/**
 * Fan-out: who gets an UP event. An event with an origin reaches that control alone; any other one reaches
 * every control whose subscription and grant admit it. Controls are listed per endpoint, so that an event
 * costs as many comparisons as its own endpoint has watchers, however many endpoints there are.
 *
 * Retained events are noted here, at delivery: a control that has subscribed before gets the event live, one
 * that comes after gets it by replay, and none gets it twice or not at all.
 *
 * Sending is what costs (3 us a control): a turn that has something for a thousand of them sends for a while,
 * and the rest is sent in the next turns, first come, first served.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { ControlId } from "../base/ids.ts";
import { type Grant, maskHas } from "../access/grant.ts";
import type { Clock } from "../base/clock.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import { KIND, KIND_MAX } from "../event/kind.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { ControlSlot } from "./control_slot.ts";
import type { Retained } from "./retained.ts";

/** Told what a control's callback threw. */
export type ControlFault = (slot: ControlSlot, error: unknown) => void;

function throwOn(_slot: ControlSlot, error: unknown): never {
  throw error;
}

/** Delivers UP events. */
export class FanOut {
  readonly #controls = new Map<number, ControlSlot>();
  readonly #byEndpoint: ControlSlot[][] = Array.from({ length: MAX_ENDPOINTS }, () => []);
  readonly #retained: Retained;
  readonly #clock: Clock;
  readonly #onFault: ControlFault;
  /** Controls that were given something and have not sent it yet. */
  readonly #dirty: ControlSlot[] = [];
  /** Sum of the lengths of the lists by endpoint. */
  #entries = 0;
  #auditors = 0;
  /** Delivered events by kind, for the metrics. */
  readonly delivered: Float64Array = new Float64Array(KIND_MAX);

  /** Starts without controls. */
  constructor(retained: Retained, clock: Clock, onFault: ControlFault = throwOn) {
    this.#retained = retained;
    this.#clock = clock;
    this.#onFault = onFault;
  }

  /** Controls on the bus. */
  get controls(): ReadonlyMap<number, ControlSlot> {
    return this.#controls;
  }

  /** How many of them receive AUDIT. */
  get auditors(): number {
    return this.#auditors;
  }

  /** How many controls an event reaches on average, at most. */
  get reach(): number {
    return this.#entries / MAX_ENDPOINTS;
  }

  /** Whether some control has not sent yet what it was given. */
  get isDirty(): boolean {
    return this.#dirty.length > 0;
  }

  /** Adds a control; what is retained follows by {@linkcode replay}. */
  add(slot: ControlSlot): void {
    assert(!this.#controls.has(slot.id), "a control is added once");
    this.#controls.set(slot.id, slot);
    this.#index(slot);
  }

  /** Takes a control off. */
  remove(slot: ControlSlot): void {
    assert(this.#controls.get(slot.id) === slot, "a control that is removed was added");
    this.#controls.delete(slot.id);
    this.#unindex(slot);
  }

  /** Changes a control's grant; what is retained and was out of its reach until now is replayed to it. */
  regrant(slot: ControlSlot, grant: Grant): void {
    const { endpoints, sources, caps } = slot.grant;
    const reachesMore = (grant.endpoints.lo & ~endpoints.lo) !== 0 ||
      (grant.endpoints.hi & ~endpoints.hi) !== 0 ||
      (grant.sources & ~sources) !== 0 || (grant.caps & ~caps) !== 0;
    const known = new Set<TransferEvent>();
    if (reachesMore) {
      this.#retained.replay((event) => {
        if (slot.admits(event)) known.add(event);
      });
    }
    this.#unindex(slot);
    try {
      slot.regrant(grant);
    } finally {
      // Also when the grant is refused: what is removed later must be in its lists.
      this.#index(slot);
    }
    if (!reachesMore) return;
    this.#retained.replay((event) => {
      if (!known.has(event) && slot.admits(event)) this.#give(slot, event);
    });
  }

  /**
   * A command of a control was settled though nothing is delivered to it: it may read on, and is flushed at
   * the end of this turn.
   */
  settleSilently(control: ControlId): void {
    const slot = this.#controls.get(control);
    if (slot === undefined) return;
    slot.outstanding--;
    assert(slot.outstanding >= 0, "no more commands are settled than were sent");
    this.#markDirty(slot);
  }

  /** Gives a control what is retained and admitted, in the order of {@linkcode Retained.replay}. */
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

  /**
   * Lets the controls that were given something send it, in one batch each.
   *
   * @param withinNs after how long to stop; the rest stays {@linkcode isDirty}. Left out: all of them
   */
  flush(withinNs: number = Infinity): void {
    const dirty = this.#dirty;
    const count = dirty.length;
    // For one control the clock is not looked at: twice is a hundredth of a ping-pong's path.
    const untilNs = count > 1 ? this.#clock.nowNs() + withinNs : Infinity;
    let done = 0;
    while (done < count) {
      this.#flushOne(dirty[done++] as ControlSlot);
      if (done < count && this.#clock.nowNs() >= untilNs) break;
    }
    // In place: a busy loop makes no garbage here.
    dirty.copyWithin(0, done);
    dirty.length -= done;
  }

  /** Lets one control send what it was given, before it goes. */
  flushLast(slot: ControlSlot): void {
    const index = slot.dirty ? this.#dirty.indexOf(slot) : -1;
    if (index < 0) return;
    this.#dirty.splice(index, 1);
    this.#flushOne(slot);
  }

  #flushOne(slot: ControlSlot): void {
    slot.dirty = false;
    try {
      slot.control.flush?.();
    } catch (error) {
      this.#onFault(slot, error);
    }
  }

  #give(slot: ControlSlot, event: TransferEvent): void {
    if (slot.leaving) return;
    try {
      slot.control.deliver(event);
    } catch (error) {
      this.#onFault(slot, error);
    }
    this.#markDirty(slot);
  }

  #markDirty(slot: ControlSlot): void {
    if (slot.dirty) return;
    slot.dirty = true;
    this.#dirty.push(slot);
  }

  #index(slot: ControlSlot): void {
    for (let endpoint = 0; endpoint < MAX_ENDPOINTS; endpoint++) {
      if (!maskHas(slot.endpoints, endpoint)) continue;
      slot.places[endpoint] = (this.#byEndpoint[endpoint] as ControlSlot[]).push(slot) - 1;
      this.#entries++;
    }
    if (slot.isAuditor) this.#auditors++;
  }

  /** Takes a control out of the lists that it is in; the last one of each takes its place there. */
  #unindex(slot: ControlSlot): void {
    for (let endpoint = 0; endpoint < MAX_ENDPOINTS; endpoint++) {
      if (!maskHas(slot.endpoints, endpoint)) continue;
      const slots = this.#byEndpoint[endpoint] as ControlSlot[];
      const last = slots.pop() as ControlSlot;
      if (last !== slot) {
        const place = slot.places[endpoint] as number;
        assert(slots[place] === slot, "a control is where its place says");
        slots[place] = last;
        last.places[endpoint] = place;
      }
      this.#entries--;
    }
    if (slot.isAuditor) this.#auditors--;
    assert(this.#entries >= 0 && this.#auditors >= 0, "a control leaves the lists that it joined");
  }
}
