/**
 * Deadlines of the loop's thread: one object, one deadline. A map and a cached earliest: there are dozens of
 * timers, most of them never due, so a scan when the earliest one fires is cheaper than keeping a heap in
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

  /** When the next one is due, ns; NEVER for none. */
  get earliestNs(): number {
    return this.#earliest;
  }

  /** How many are armed. */
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

  /** Forgets a handler's deadline. */
  disarm(handler: TimerHandler): void {
    const before = this.#deadlines.get(handler);
    if (before === undefined) return;
    this.#deadlines.delete(handler);
    if (before === this.#earliest) this.#rescan();
  }

  /**
   * Calls every handler that is due, once each; one that arms itself anew for a time in the past is called
   * next time.
   *
   * @param mayStop asked after each: when it says so, the rest is called next time, before those that were
   *   called now
   * @param onFault told what one of them threw; the others are called all the same. Left out: it is thrown on
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
      // An earlier handler of this round may have disarmed it.
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
