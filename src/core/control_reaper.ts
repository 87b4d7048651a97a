/**
 * Removes controls from the bus at the end of the turn in which they left, when none of their frames is on
 * the stack. The number per turn is bounded, since hundreds may leave at once. A control's commands of that
 * turn are routed first: what was sent before an orderly goodbye is carried out.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { LoopPort } from "./adapter_port.ts";
import type { Bus } from "./bus.ts";
import type { ControlSlot } from "./control_slot.ts";
import { Departures } from "./departures.ts";
import type { Endpoints } from "./endpoints.ts";
import type { EventPump } from "./event_pump.ts";
import type { FanOut } from "./fan_out.ts";
import type { FaultBoundary } from "./fault_boundary.ts";
import type { LeaseService } from "./lease_service.ts";
import { isRetained, type Retained } from "./retained.ts";

/** Controls that are removed per turn, at about 30 us each. */
const REAPED_PER_TURN = 32;

/** The parts of the core that a leaving control is removed from. */
export interface ReaperParts {
  /** Queued events. */
  readonly bus: Bus;
  /** Runs a task at the end of a turn. */
  readonly loop: LoopPort;
  /** Carries out its last commands. */
  readonly pump: EventPump;
  /** Delivers events to it. */
  readonly fanOut: FanOut;
  /** Holds retained events that it published. */
  readonly retained: Retained;
  /** The adapters that are told. */
  readonly endpoints: Endpoints;
  /** Its leases. */
  readonly leaseService: LeaseService;
  /** Contains what its `close` throws. */
  readonly faults: FaultBoundary;
}

/** Removes controls. */
export class ControlReaper {
  readonly #parts: ReaperParts;
  readonly #departures: Departures;
  #leaving: ControlSlot[] = [];

  /** Nobody leaves yet. */
  constructor(parts: ReaperParts) {
    this.#parts = parts;
    this.#departures = new Departures(parts.bus.context, parts.endpoints);
  }

  /** Removes a control at the end of this turn or a later one. It receives nothing from now on. */
  leave(slot: ControlSlot, reason: string): void {
    if (slot.leaving) return;
    slot.leaving = true;
    slot.leaveReason = reason;
    this.#leaving.push(slot);
    // One task removes all of them; it schedules itself again while any are left.
    if (this.#leaving.length === 1) this.#parts.loop.defer(this.#reap);
  }

  /** Tells the adapters about controls whose last command has been handed over. */
  tellDepartures(): void {
    this.#departures.tell();
  }

  readonly #reap = (): void => {
    const { bus, loop, pump, fanOut, leaseService, retained, faults } = this.#parts;
    // Commands that it sent in this turn are carried out first, and their answers handed over.
    pump.down();
    const leaving = this.#leaving;
    assert(leaving.length > 0, "a control that leaves is reaped once");
    this.#leaving = leaving.slice(REAPED_PER_TURN);
    if (this.#leaving.length > 0) loop.defer(this.#reap);
    for (const slot of leaving.slice(0, REAPED_PER_TURN)) {
      fanOut.flushLast(slot);
      fanOut.remove(slot);
      leaseService.ownerGone(slot.id, slot.grant);
      retained.dropOf(slot.id);
      // Events still queued for it would never be released.
      bus.withdraw((event) => event.publisher === slot.id && isRetained(event.kind));
      this.#departures.add(slot);
      try {
        slot.control.close(slot.leaveReason);
      } catch (error) {
        faults.contain("control", error, slot.control);
      }
      slot.account.leave();
    }
    this.#departures.tell();
    pump.up();
  };
}
