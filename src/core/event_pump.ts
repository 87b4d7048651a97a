/**
 * Takes events out of the transfer context in its order until none is due: commands to the route, UP events
 * to the fan-out.
 * @module
 */
import { assert } from "../base/assert.ts";
import { DIR } from "../event/defaults.ts";
import type { Bus } from "./bus.ts";
import type { CommandRoute } from "./command_route.ts";
import type { FanOut } from "./fan_out.ts";

/** Moves events of both directions. */
export class EventPump {
  readonly #bus: Bus;
  readonly #route: CommandRoute;
  readonly #fanOut: FanOut;
  #isPumpingUp = false;
  /** UP events that the last pump left because they were not due. */
  #paced = 0;

  /** Connects the context of a bus with the receivers of its events. */
  constructor(bus: Bus, route: CommandRoute, fanOut: FanOut) {
    this.#bus = bus;
    this.#route = route;
    this.#fanOut = fanOut;
  }

  /** Approximate number of UP events submitted since {@linkcode up} last ran. */
  get fresh(): number {
    return this.#bus.context.waiting(DIR.UP) - this.#paced;
  }

  /** Routes the queued commands. */
  down(nowNs: number = this.#bus.clock.nowNs()): void {
    const { context } = this.#bus;
    if (context.waiting(DIR.DOWN) === 0) return;
    for (let command = context.next(DIR.DOWN, nowNs); command !== null;) {
      this.#route.route(command);
      command.release();
      command = context.next(DIR.DOWN, nowNs);
    }
  }

  /** Delivers the queued UP events. */
  up(nowNs: number = this.#bus.clock.nowNs()): void {
    const { context } = this.#bus;
    // During a delivery, queued events must not overtake the one being delivered.
    if (this.#isPumpingUp) return;
    this.#isPumpingUp = true;
    for (let event = context.next(DIR.UP, nowNs); event !== null;) {
      this.#fanOut.deliver(event);
      event.release();
      event = context.next(DIR.UP, nowNs);
    }
    this.#isPumpingUp = false;
    this.#paced = context.waiting(DIR.UP);
    assert(this.#paced >= 0, "the context counts what waits");
  }
}
