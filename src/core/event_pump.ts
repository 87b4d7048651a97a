/**
 * Takes events out of the transfer context, in its order, until nothing is left whose time has come: commands
 * to the route, UP events to the fan-out.
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
  /** UP events that the last pump left, because their time has not come. */
  #paced = 0;

  /** Joins the context of a bus with where its events go. */
  constructor(bus: Bus, route: CommandRoute, fanOut: FanOut) {
    this.#bus = bus;
    this.#route = route;
    this.#fanOut = fanOut;
  }

  /** UP events that were submitted since {@linkcode up} ran last, about. */
  get fresh(): number {
    return this.#bus.context.waiting(DIR.UP) - this.#paced;
  }

  /** Routes the commands that wait. */
  down(nowNs: number = this.#bus.clock.nowNs()): void {
    const { context } = this.#bus;
    if (context.waiting(DIR.DOWN) === 0) return;
    for (let command = context.next(DIR.DOWN, nowNs); command !== null;) {
      this.#route.route(command);
      command.release();
      command = context.next(DIR.DOWN, nowNs);
    }
  }

  /** Delivers the UP events that wait. */
  up(nowNs: number = this.#bus.clock.nowNs()): void {
    const { context } = this.#bus;
    // From within a delivery the events that wait must not overtake the one that is being delivered.
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
