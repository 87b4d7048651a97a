/**
 * Fan-out: decides who receives an UP event. An event with an origin goes to that control alone; any other
 * goes to every control whose subscription and grant admit it. Controls are listed per endpoint, so that an
 * event costs as many comparisons as its own endpoint has observers, however many endpoints there are.
 *
 * Retained events are recorded at delivery: a control that has subscribed before receives the event live, one
 * that joins later receives it by replay, and none receives it twice or not at all.
 *
 * Sending dominates the cost (3 us per control): a turn that has events for a thousand controls sends for a
 * limited time and leaves the rest to the next turns, first come, first served.
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

/** Receives what a control's callback threw. */
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
  /** Controls with delivered events that they have not sent yet. */
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

  /** Number of controls on the bus. */
  get controls(): ReadonlyMap<number, ControlSlot> {
    return this.#controls;
  }

  /** Number of controls that receive AUDIT. */
  get auditors(): number {
    return this.#auditors;
  }

  /** Upper bound of the average number of controls that an event reaches. */
  get reach(): number {
    return this.#entries / MAX_ENDPOINTS;
  }

  /** Whether some control has not sent its delivered events yet. */
  get isDirty(): boolean {
    return this.#dirty.length > 0;
  }

  /** Adds a control; {@linkcode replay} then delivers the retained state. */
  add(slot: ControlSlot): void {
    assert(!this.#controls.has(slot.id), "a control is added once");
    this.#controls.set(slot.id, slot);
    this.#index(slot);
  }

  /** Removes a control. */
  remove(slot: ControlSlot): void {
    assert(this.#controls.get(slot.id) === slot, "a control that is removed was added");
    this.#controls.delete(slot.id);
    this.#unindex(slot);
  }

  /** Changes a control's grant; retained events that it could not receive before are replayed to it. */
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
      // Even if the grant is refused: the control must be in its lists to be removed later.
      this.#index(slot);
    }
    if (!reachesMore) return;
    this.#retained.replay((event) => {
      if (!known.has(event) && slot.admits(event)) this.#give(slot, event);
    });
  }

  /**
   * A control's command was settled without a delivery: the control may continue reading, and is flushed at
   * the end of this turn.
   */
  settleSilently(control: ControlId): void {
    const slot = this.#controls.get(control);
    if (slot === undefined) return;
    slot.outstanding--;
    assert(slot.outstanding >= 0, "no more commands are settled than were sent");
    this.#markDirty(slot);
  }

  /** Delivers the retained events that a control may receive, in the order of {@linkcode Retained.replay}. */
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
      if (event.ticket !== 0) {
        slot.outstanding--;
        assert(slot.outstanding >= 0, "no more commands are answered than were sent");
      }
      this.#give(slot, event);
      return;
    }
    this.#retained.note(event);
    if (event.kind === KIND.MEMCTX_INVALIDATED) this.#retained.drop(KIND.MEMCTX, event.endpoint);
    if (event.endpoint < MAX_ENDPOINTS) {
      const slots = this.#byEndpoint[event.endpoint] as ControlSlot[];
      // A control added by a callback within this loop has received the event by replay, if at all.
      for (let i = 0, count = slots.length; i < count; i++) {
        const slot = slots[i];
        if (slot !== undefined && slot.wants(event)) this.#give(slot, event);
      }
    } else for (const slot of this.#controls.values()) if (slot.wants(event)) this.#give(slot, event);
  }

  /**
   * Has the controls with delivered events send them, in one batch each.
   *
   * @param withinNs time after which to stop; the rest stays {@linkcode isDirty}. Omitted: no limit
   */
  flush(withinNs: number = Infinity): void {
    const dirty = this.#dirty;
    const count = dirty.length;
    // For a single control the clock is not read: two reads are a hundredth of a ping-pong's path.
    const untilNs = count > 1 ? this.#clock.nowNs() + withinNs : Infinity;
    let done = 0;
    while (done < count) {
      this.#flushOne(dirty[done++] as ControlSlot);
      if (done < count && this.#clock.nowNs() >= untilNs) break;
    }
    // In place, so that a busy loop produces no garbage here.
    dirty.copyWithin(0, done);
    dirty.length -= done;
  }

  /** Has one control send its delivered events before it is removed. */
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

  /** Removes a control from its lists; the last one of each list takes its place. */
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
