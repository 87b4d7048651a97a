/**
 * Takes controls off the bus: at the end of the turn in which they left, when none of their frames is on the
 * stack, and a bounded number per turn, since hundreds may leave at once. A control's commands of that turn
 * are routed before it is reaped: what was sent before a clean goodbye is carried out.
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

/** Controls that are taken off in one turn, at some 30 us each. */
const REAPED_PER_TURN = 32;

/** What a control that leaves is taken out of. */
export interface ReaperParts {
  /** Its events. */
  readonly bus: Bus;
  /** What runs a task at the end of a turn. */
  readonly loop: LoopPort;
  /** What carries out its last commands. */
  readonly pump: EventPump;
  /** Where it is delivered to. */
  readonly fanOut: FanOut;
  /** What it published and is kept. */
  readonly retained: Retained;
  /** Whose adapters are told. */
  readonly endpoints: Endpoints;
  /** Its leases. */
  readonly leaseService: LeaseService;
  /** Contains what its `close` throws. */
  readonly faults: FaultBoundary;
}

/** Reaps controls. */
export class ControlReaper {
  readonly #parts: ReaperParts;
  readonly #departures: Departures;
  #leaving: ControlSlot[] = [];

  /** Nobody leaves yet. */
  constructor(parts: ReaperParts) {
    this.#parts = parts;
    this.#departures = new Departures(parts.bus.context, parts.endpoints);
  }

  /** Takes a control off at the end of this turn, or of one of the next. It gets nothing more from now on. */
  leave(slot: ControlSlot, reason: string): void {
    if (slot.leaving) return;
    slot.leaving = true;
    slot.leaveReason = reason;
    this.#leaving.push(slot);
    // Once for all of them; it goes on by itself.
    if (this.#leaving.length === 1) this.#parts.loop.defer(this.#reap);
  }

  /** Tells adapters of controls whose last command has been handed over. */
  tellDepartures(): void {
    this.#departures.tell();
  }

  readonly #reap = (): void => {
    const { bus, loop, pump, fanOut, leaseService, retained, faults } = this.#parts;
    // What it sent in this turn is carried out first, and what was answered is handed over.
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
      // What still waits on its way there would be kept for good.
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
