/**
 * Deadlines of the loop's thread, one per object. A map with a cached earliest deadline: there are dozens of
 * timers, most of which never fire, so a scan when the earliest one fires is cheaper than keeping a heap in
 * order.
 * @module
 */
import { assert } from "../base/assert.ts";
import { NEVER } from "../base/clock.ts";
import type { TimerHandler } from "./adapter_port.ts";

/** A set of deadlines. */
export class Timers {
  readonly #deadlines = new Map<TimerHandler, number>();
  #earliest = NEVER;

  /** The earliest deadline, ns; NEVER for none. */
  get earliestNs(): number {
    return this.#earliest;
  }

  /** Number of armed timers. */
  get size(): number {
    return this.#deadlines.size;
  }

  /** Arms or moves a handler's deadline. */
  arm(handler: TimerHandler, deadlineNs: number): void {
    assert(!Number.isNaN(deadlineNs), "a deadline is a number");
    const before = this.#deadlines.get(handler);
    if (deadlineNs === NEVER) return this.disarm(handler);
    this.#deadlines.set(handler, deadlineNs);
    if (deadlineNs <= this.#earliest) this.#earliest = deadlineNs;
    else if (before === this.#earliest) this.#rescan();
  }

  /** Disarms a handler. */
  disarm(handler: TimerHandler): void {
    const before = this.#deadlines.get(handler);
    if (before === undefined) return;
    this.#deadlines.delete(handler);
    if (before === this.#earliest) this.#rescan();
  }

  /**
   * Calls every due handler once; one that arms itself again for a time in the past is called next time.
   *
   * @param mayStop asked after each call: true leaves the rest to the next time, before those that were
   *   called now
   * @param onFault called with what a handler threw; the others are still called. Omitted: the exception
   *   propagates
   */
  fire(
    nowNs: number,
    mayStop?: () => boolean,
    onFault?: (handler: TimerHandler, error: unknown) => void,
  ): void {
    if (this.#earliest > nowNs) return;
    const due: TimerHandler[] = [];
    for (const [handler, deadline] of this.#deadlines) if (deadline <= nowNs) due.push(handler);
    for (const handler of due) {
      // A handler called earlier in this round may have disarmed it.
      const deadline = this.#deadlines.get(handler);
      if (deadline === undefined || deadline > nowNs) continue;
      this.#deadlines.delete(handler);
      try {
        handler.onTimer(nowNs);
      } catch (error) {
        if (onFault === undefined) throw error;
        onFault(handler, error);
      }
      if (mayStop?.()) break;
    }
    this.#rescan();
  }

  #rescan(): void {
    let earliest = NEVER;
    for (const deadline of this.#deadlines.values()) if (deadline < earliest) earliest = deadline;
    this.#earliest = earliest;
  }
}
